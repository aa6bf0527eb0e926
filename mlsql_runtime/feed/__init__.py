"""Tables on their way to scripts: the interface, its two implementations (files, topic), and the decoding of what arrives."""
