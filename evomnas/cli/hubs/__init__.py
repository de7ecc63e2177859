"""Commands for places where other people look for networks.

- `push`: a trained network on the Hugging Face Hub.
"""
