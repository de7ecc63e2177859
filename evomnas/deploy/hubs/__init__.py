"""Trained networks where other people and libraries look for networks.

- `pushing`: the folder of a trained network on the Hugging Face Hub.
- `repositories`: the names of repositories there.
- `timm_models`: networks as models of timm.
"""
