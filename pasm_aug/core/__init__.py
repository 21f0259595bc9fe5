"""What all rooms share and what knows nothing of PASM.

``rng``, ``seeding`` and ``image_content`` say which random numbers and which image are meant, ``geometry`` and
``painting`` where a square lies and how it is filled; ``networks`` and ``weights`` take a user's network as it comes;
``files``, ``file_lock``, ``checksums`` and ``processes`` keep work safe; ``memory_batches`` cuts it into parts that
fit; ``errors`` and ``user_warning`` say whose mistake it was, and where.
"""
