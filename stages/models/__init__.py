"""What learns: each model is one module of this folder, found by name.

A module gives `Options` (what may be declared) and `SUITS` (kinds of arrays it can take), and
either `build` (specs → a torch module, trained by the one loop in `training/`), or `fit` and
`draw` (its own fit, and its weights as an ONNX graph). Every model so becomes a graph that maps
encoded arrays to `outputs` [N, C], and every baseline can ship.
"""
