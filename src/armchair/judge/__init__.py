"""The judge: reads what a picture shows, so that prompts can be checked against pictures."""
