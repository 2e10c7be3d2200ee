"""Arrays and plans as pictures: numpy and Pillow, no torch tensors."""
