"""Drawn faces: ``description`` says what a face is, ``geometry`` where its lines run, ``drawing`` paints it."""
