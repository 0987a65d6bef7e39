"""Conversations, templates and what of them a model can hold: no HTTP, no model, no waiting."""
