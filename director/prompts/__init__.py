"""What is said to a VLM, and how its reply is parsed. Text from users stays quoted data."""
