"""The OpenHands agent as Punching Fist runs it. The runner starts it and reads its events; see protocol.py."""
