"""The prompt writer: a short prompt as a whole description, and a description changed as it is asked."""
