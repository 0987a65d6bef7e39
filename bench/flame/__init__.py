"""Where the time of each path goes: sampled from the real server, drawn as a static picture."""
