"""A module that a server of workers imports: it waits as long as there is a file, so the server starts no worker."""

import os
import time

while os.path.exists(os.environ.get("SERVER_GATE", "")):
    time.sleep(0.01)
