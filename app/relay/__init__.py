"""PULL: reads a model's answer and hands each piece on.

Knows no Flask and no hub: it is handed `publish`.
"""
