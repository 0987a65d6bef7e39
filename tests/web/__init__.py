"""The edge, in this process: what goes in as HTTP, what comes out, and what it leaves behind."""
