"""How VisionDirector is run: embedded servers, the local stack and its Flower."""
