"""The shelf: which models exist, where their weights lie, what they promise.

    import sciml_zoo as sz

    sz.list_models("gto*", pretrained=True)                 # names of trained weights
    model = sz.create_model("gto_potential", n_radial=16)   # random weights
    sz.save_model(model, "out")                             # a directory: config, weights, golden predictions, card
    model = sz.load_model("local-dir:out")                  # checked, strict, eval mode
    sz.verify("local-dir:out")                              # replays golden predictions, raises on a mismatch

Nothing here is ever unpickled, and importing ``registry``, ``manifest`` or ``resolve`` loads no torch.
"""
