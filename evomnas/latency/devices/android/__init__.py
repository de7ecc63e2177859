"""Android phones as devices, over a cable or the network.

- `adb_client`: the program `adb`: which phone is meant, files that are pushed, and one shell that stays open.
- `phone`: what a phone is, how warm it is, and its fastest cores.
- `benchmark_tool`: TensorFlow Lite's `benchmark_model`: how it is called and what it prints.
- `adb_device`: the protocol of rounds with these.
"""
