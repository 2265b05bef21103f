"""watch.py LOG: writes each command line and each environment that any process of this machine has, once, until the log is removed (with the lab that it is of)."""

import os
import sys
import time

seen = set()
with open(sys.argv[1], "wb", buffering=0) as log:
    log.write(b"ready\n")
    while os.path.exists(sys.argv[1]):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            for name in ("cmdline", "environ"):
                try:
                    with open(f"/proc/{pid}/{name}", "rb") as file:
                        text = file.read()
                except OSError:
                    continue
                if text not in seen:
                    seen.add(text)
                    log.write(text.replace(b"\0", b" ") + b"\n")
        time.sleep(0.02)
