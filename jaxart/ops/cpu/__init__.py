"""The compiled convolution of CPUs: its C++ sources, how a library is built of them, which one suits this computer."""
