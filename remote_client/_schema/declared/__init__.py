"""Types and codecs of declared modules and of caikit's own module classes."""
