from pacos.seeds import derived_seed


def test_seeds_are_derived_from_what_names_an_item() -> None:
    assert derived_seed(1, "packs", 0) == derived_seed(1, "packs", 0)
    assert len({derived_seed(seed, "packs", epoch) for seed in (1, 2) for epoch in (0, 1)}) == 4
