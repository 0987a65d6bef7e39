"""What was said before: conversations, prompt templates, and what of them a model can hold."""
