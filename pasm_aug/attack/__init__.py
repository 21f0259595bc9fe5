"""The search for the pixel that hurts most.

``rng`` → ``kernels`` (numba) → ``evolution`` (ask / tell) propose; ``teacher`` scores; ``candidates`` ranks and
remembers; ``search`` puts them together. Loading this package loads none of them, for numba takes its time.
"""
