"""What a delivery and a token may cost: measured beside raw Python in the same run, and counted."""
