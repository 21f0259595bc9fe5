"""One pixel changes a window of each feature map: follow it exactly through the windows alone.

``graph`` traces the network, ``layers`` names what works on windows, ``influence`` says how far a pixel reaches,
``windows`` and ``patches`` compute, ``network`` puts it together and tests itself against the whole network.
"""
