"""The largest inputs that the readers of files take, each with its reason.

Files come from anywhere: a small one must not take all memory or hours. What exceeds a limit is refused by name, and no
limit is near what real models and properties need.
"""

NETWORK_BYTES = 2**31
"""Of a network in ONNX, decompressed: protobuf itself holds no more; larger ones keep their weights in files beside."""

ARCHIVE_BYTES = 2**31
"""Of the compressed parts of an archive of arrays or weights, which may be a thousand times its size."""

WEIGHT_BYTES = 2**36
"""Of all weights or arrays of a file, and of the tensors in files beside an ONNX file: 64 GiB."""

PROPERTY_BYTES = 2**27
"""Of a property in VNN-LIB, decompressed: seven times the largest of the competition, which bounds 150528 inputs."""

TEXT_BYTES = 2**21
"""Of a configuration or an architecture in YAML, which is read slowly; arrays have files of their own."""

TABLE_BYTES = 2**26
"""Of a table in CSV."""

JSON_BYTES = 2**29
"""Of a saved answer or record: thirty million numbers."""

NESTING = 100
"""Levels of lists and mappings in one another: models and configurations have five; Python's own readers end at some
hundreds, and not by an error of ours."""

ENTRIES = 2**17
"""Entries of a YAML file once its aliases are written out, each of which may repeat all that came before it: some
seconds of reading."""

DIGITS = 1000
"""Digits and powers of ten of a number: more than any float64 needs, and still quick to compute with."""

RATIONAL_BITS = 2**12
"""Of numerators and denominators of computed rational numbers: far beyond float64, and still quick."""

BOUNDS = 10**7
"""Inputs of all cases of a property together: gigabytes, where a disjunction repeats all inputs in each case."""

CONSTANT_ENTRIES = 2**29
"""Entries of all constants together that an ONNX file lets compute: one node may name any size in a few bytes."""

VALUE_ENTRIES = 2**28
"""Entries of a value on the way through an ONNX file, for the same reason."""

MESSAGE_CHARACTERS = 300
"""Of what another program says, in a message of ours."""

COUNT = 2**53
"""Whole numbers of a configuration: float64 holds all of them up to here."""

SEED = 2**63 - 1
"""The largest seed that torch takes for every device."""

RESTARTS = 10**7
"""Walkers of a configuration; each takes kilobytes."""

THREADS = 1024
"""Threads of a configuration: more than any machine runs at once, and less than what makes an operating system fail."""
