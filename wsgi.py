"""The WSGI application, `wsgi:app`: for gunicorn with gunicorn.conf.py, or any WSGI server with threads.

Importing this makes the application, once a process; no other module starts anything when imported.
"""

import sys

from app.errors import SettingsError

if "gunicorn.workers.ggevent" in sys.modules:
    from gevent import monkey

    if not monkey.is_module_patched("threading"):
        raise RuntimeError(
            "Deltahub was loaded before gevent patched threading, and one slow answer would stop all others: "
            "run gunicorn without --preload"
        )

from app import create_app

try:
    app = create_app()
except SettingsError as error:
    # 3 is gunicorn's own status for a worker that can't boot: any other, and it would try again for ever.
    sys.stderr.write(f"deltahub: {error}\n")
    sys.exit(3)
