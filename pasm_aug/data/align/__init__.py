"""Photographs into faces: ``aligner`` finds and cuts them, ``folder`` does a tree of files, ``warp`` is geometry."""
