"""What fastppo is measured against, where it is not simply a library that is called."""
