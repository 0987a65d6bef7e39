"""What tests and benches stand on: an upstream that does as told, a real gunicorn, a strict reader."""
