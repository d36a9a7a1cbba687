"""The judge: names what a picture shows, so that prompts can be checked against pictures."""
