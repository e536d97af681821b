"""The table of sources for make_catalog.py: whose the data are, and where files were found upstream."""

from dataclasses import dataclass

BOTNET = "davkovacs/BOTNet-datasets"
BOTNET_FILES = "4a5ea06c3f514f24164428823ba1f5e2d2233b58"
BOTNET_HEAD = "29e6d467317e4b5967b7ea5cbee54de953fa0d45"
MLEARN = ("materialsvirtuallab/mlearn", "a04d3b6ecaac47c27aa8f7e452c16a5c9a2a8cff")
TNAC4O = ("marekrams/tnac4o", "241d714df510baf3607fd0f05e855d210fd93ad8")
DATACORE = "https://github.com/KorfLab/datacore"
DERIVED = "our files were selected or converted from the source's"


@dataclass(frozen=True)
class Address:
    """Where a file was found; ``compared`` if its length and ending are those of our decompressed copy."""

    repo: str
    commit: str
    path: str
    whole: bool = True
    compared: bool = False


@dataclass(frozen=True)
class Source:
    """What the README of the data says of one data set."""

    folder: str
    summary: str
    source: str
    licence: str
    commit: str | None = None
    citation: str | None = None
    ships_weights: str | None = None
    download: str | None = None
    name: str | None = None


RMD17 = "Christensen and von Lilienfeld, Mach. Learn.: Sci. Technol. 1, 045018 (2020), https://doi.org/10.1088/2632-2153/abba6f"
ZUO = "Zuo et al., J. Phys. Chem. A 124, 731 (2020), https://doi.org/10.1021/acs.jpca.9b08723"


def _mlearn(element: str, frames: str) -> Source:
    return Source(
        f"potentials/mlearn/{element}",
        f"{element} crystals, periodic, pymatgen JSON: {frames} frames; eV, eV/Å, virial stress in kbar",
        f"https://github.com/{MLEARN[0]}",
        "BSD-3-Clause",
        MLEARN[1],
        ZUO,
        name=f"mlearn_{element.lower()}",
    )


SOURCES = [
    Source(
        "potentials/rmd17_ethanol",
        "Ethanol, PBE/def2-SVP, extxyz in eV and Å: train 1000 frames, test 500 (upstream 1000), isolated atoms",
        f"https://github.com/{BOTNET}",
        "MIT (rMD17 itself is CC0)",
        BOTNET_HEAD,
        RMD17,
    ),
    Source(
        "potentials/rmd17_aspirin",
        "Aspirin, PBE/def2-SVP, extxyz in eV and Å: train 1000 frames, test 800; no isolated atoms",
        "https://github.com/ilyes319/mace-jax",
        "MIT",
        "d37d428",
        RMD17,
        download="the upstream files hold more frames than these, and which is which is not known",
    ),
    Source(
        "potentials/acac",
        "Acetylacetone, PBE+D3/def2-SVP, extxyz in eV and Å: train at 300 K and 600 K, test by MD and dihedral scan",
        f"https://github.com/{BOTNET}",
        "MIT",
        BOTNET_HEAD,
        "Batatia et al., The Design Space of E(3)-Equivariant Atom-Centered Interatomic Potentials, arXiv:2205.06643",
    ),
    Source(
        "potentials/3bpa",
        "3-(benzyloxy)pyridin-2-amine, ωB97X/6-31G(d), extxyz in eV and Å: train at 300 K, 500 frames; isolated atoms",
        f"https://github.com/{BOTNET}",
        "MIT",
        BOTNET_HEAD,
        "Kovács et al., J. Chem. Theory Comput. 17, 7696 (2021), https://doi.org/10.1021/acs.jctc.1c00647",
    ),
    _mlearn("Si", "training 214, test 25"),
    _mlearn("Mo", "training 194, test 23"),
    _mlearn("Li", "training 241, test 29"),
    Source(
        "potentials/water_pbe0ts",
        "64 water molecules, periodic, PBE0+TS, DeePMD npy in eV and Å: 400 frames; float32 energies near −29944 eV",
        "https://github.com/deepmodeling/deepmd-kit",
        "LGPL-3.0",
        "bc902da",
        "Zhang et al., Phys. Rev. Lett. 120, 143001 (2018), https://doi.org/10.1103/PhysRevLett.120.143001",
        "LGPL-3.0: only fitted weights may ship, and the card says so",
        "the paths of its files at that commit could not be established",
    ),
    Source(
        "splicing/eie",
        "Exon–intron–exon records with RNA-seq counts: A. thaliana chromosomes 2–5 and C. elegans; short GT–AG introns",
        DATACORE,
        "MIT",
        "9f0501d",
        download=DERIVED,
    ),
    Source(
        "splicing/genome",
        "FASTA and GFF3 of the first 1 % of each chromosome: A. thaliana (TAIR10, chromosomes 2–5), C. elegans (WS282)",
        DATACORE,
        "MIT",
        "9f0501d",
        download=DERIVED,
    ),
    Source(
        "splicing/genes",
        "665 single-isoform genes of C. elegans with 1,206 introns, FASTA and GFF3",
        DATACORE,
        "MIT",
        "9f0501d",
        download=DERIVED,
    ),
    Source(
        "splicing/methylation",
        "Every cytosine of A. thaliana Chr3:1–1,000,000 with read counts, wild type and met1-3; introns placed on it",
        "https://github.com/bioc/DMRcaller (GEO GSM980986, GSM981032)",
        "GPL-3.0",
        "13a82ad",
        "Stroud et al., Cell 152, 352 (2013)",
        download=DERIVED,
    ),
    Source(
        "splicing/uci",
        "3190 primate splice junctions of 60 nt (EI, IE, N), 185 of them duplicates",
        "UCI Machine Learning Repository, data set 69",
        "CC-BY-4.0",
        download="its source has no fixed version to download from",
    ),
    Source(
        "splicing/mpsa_5ss",
        "Measured splicing (PSI) of variants of a 5′ splice site, training and validation rows",
        "https://github.com/jbkinney/mavenn",
        "MIT",
        "4553944",
        "Wong, Kinney and Krainer, Mol. Cell 71, 1012 (2018)",
        download=DERIVED,
    ),
    Source(
        "emissions/eutl",
        "EU emissions trading by company, 2005–2022: verified tCO2e, free allocation, registry and main activity",
        "https://github.com/cedricr/eutl (EU Transaction Log)",
        "CC-BY-4.0",
        "5522fbedd149fa58e63f93f1107805d81295d376",
        download=DERIVED,
    ),
    Source(
        "emissions/ghgrp",
        "US EPA direct emissions of 85 S&P 500 firms, 2010–2023, tCO2e; facilities; constituents with sector",
        "https://github.com/alina-malkova/esg (US EPA GHGRP)",
        "US EPA public data",
        "391346e",
        download=DERIVED,
    ),
    Source(
        "emissions/gcb",
        "Global Carbon Budget: countries, 1750–2024, MtCO2 by fuel",
        "https://github.com/energyandcleanair/creaco2tracker (Global Carbon Project)",
        "CC-BY-4.0",
        "3acdbd3",
        "Global Carbon Project, Global Carbon Budget 2025, version 15",
        download="the path of its file at that commit could not be established",
    ),
    Source(
        "emissions/drivers",
        "World GDP by country, Brent oil (USD/bbl), EU allowance price (EUR/t), US macroeconomic series",
        "https://github.com/datasets/gdp, https://github.com/datasets/oil-prices, FRED, ICAP/ECB",
        "PDDL-1.0 (GDP, oil); FRED, ICAP and ECB terms for the rest",
        download=DERIVED,
    ),
    Source(
        "emissions/portfolio_itr",
        "124 companies with emissions (mixed units), EVIC, revenue, currencies; a 144-line EUR portfolio; targets",
        "https://github.com/os-climate/ITR",
        "Apache-2.0",
        "b0a99be",
        download=DERIVED,
    ),
    Source(
        "emissions/m3_yearly",
        "M3 competition: 645 yearly series, horizon 6",
        "https://github.com/robjhyndman/Mcomp",
        "GPL-3.0 (R package)",
        None,
        "Makridakis and Hibon, Int. J. Forecasting 16, 451 (2000)",
        download=DERIVED,
    ),
    Source(
        "ising/gset",
        "Max-cut graphs 'N E', then 'i j w' (1-based), with best known cuts",
        "https://github.com/KULeuven-MICAS/openising (Y. Ye's Gset)",
        "MIT",
        "647e3b0",
        "Y. Ye, Gset",
        download="only G77 was found upstream as it is here",
    ),
    Source(
        "ising/biqmac",
        "Biq Mac library: ising and rudy max-cut; be, gka and beasley minimise x'Qx over {0,1}; best known values",
        "https://github.com/KULeuven-MICAS/openising (Biq Mac library)",
        "MIT",
        "647e3b0",
        "Wiegele, Biq Mac Library (2007)",
        download="the paths of its files at that commit could not be established",
    ),
    Source(
        "ising/ea2d_torus",
        "2-D Gaussian Edwards–Anderson glasses on a torus, L = 4 to 16, 100 each, with exact energies per spin",
        "1QB COOL",
        "GPL-3.0",
        "44180b9",
        None,
        "GPL-3.0: test use only",
        DERIVED,
    ),
    Source(
        "ising/dimacs_torus",
        "DIMACS three-dimensional tori, L = 8 and 15, max-cut sign, with best known cuts",
        "https://github.com/vsdp/DIMACS",
        "GPL-3.0",
        "a1a14d1",
        "7th DIMACS Implementation Challenge",
        "GPL-3.0: test use only",
        DERIVED,
    ),
    Source(
        "ising/chimera_droplet",
        "100 Chimera glasses of 512 spins, 'i j J' (1-based; i = i is a field), E = ΣJss + Σhs, with ground states",
        f"https://github.com/{TNAC4O[0]}",
        "Apache-2.0",
        "41a2294842d1e129662e9cd61cc5eca7d3edb2d9",
        "Rams, Mohseni, Eppens, Jałowiecki and Gardas, Phys. Rev. E 104, 025308 (2021)",
        download="groundstates.csv was converted from the source's",
    ),
    Source(
        "ising/scotus",
        "895 votes of nine justices of the US Supreme Court",
        "https://github.com/clelidm/MinCompSpin_Greedy",
        "GPL-3.0",
        None,
        "Lee, Broedersz and Bialek, J. Stat. Phys. 160, 275 (2015)",
        "GPL-3.0: only fitted couplings may ship, and the card says so",
        "the path of its file could not be established",
    ),
    Source(
        "ising/spikes",
        "40,000 time bins of 15 neurons",
        "https://github.com/orimaoz/maxent_toolbox",
        "MIT",
        "82b4528",
        download="converted from a MATLAB file of the source",
    ),
    Source(
        "ising/rna",
        "RF00379 alignment: 3,827 sequences of 136 positions, alphabet -ACGU",
        "https://github.com/spqb/adabmDCApy",
        "Apache-2.0",
        "52c8b3d5ca00c0ad0bb4b78d291912cf90ff0cdc",
        "Rfam RF00379",
    ),
]

# Paths and commits as the index of public repositories has them; train_300K and test_MD_300K as the README of their
# folder at that commit lists them.
ADDRESSES = {
    "potentials/rmd17_ethanol/train.xyz.gz": Address(BOTNET, BOTNET_FILES, "dataset_ethanol/train.xyz", compared=True),
    "potentials/rmd17_ethanol/test.xyz.gz": Address(BOTNET, BOTNET_FILES, "dataset_ethanol/test_MD.xyz", whole=False),
    "potentials/rmd17_ethanol/isolated_atoms.xyz": Address(
        BOTNET, "da3b965c75debf518e75cd7104ffa725a959ac4b", "dataset_ethanol/isolated_atoms.xyz", compared=True
    ),
    "potentials/acac/train_300K.xyz.gz": Address(BOTNET, BOTNET_FILES, "dataset_acac/train_300K.xyz"),
    "potentials/acac/train_600K.xyz.gz": Address(BOTNET, BOTNET_FILES, "dataset_acac/train_600K.xyz", compared=True),
    "potentials/acac/test_MD_300K.xyz.gz": Address(BOTNET, BOTNET_FILES, "dataset_acac/test_MD_300K.xyz", whole=False),
    "potentials/acac/test_dihedral.xyz.gz": Address(
        BOTNET, BOTNET_FILES, "dataset_acac/test_dihedral.xyz", whole=False
    ),
    "potentials/acac/isolated_atoms.xyz": Address(
        BOTNET, BOTNET_FILES, "dataset_acac/isolated_atoms.xyz", compared=True
    ),
    "potentials/3bpa/train_300K.xyz.gz": Address(BOTNET, BOTNET_FILES, "dataset_3BPA/train_300K.xyz"),
    "potentials/3bpa/isolated_atoms.xyz": Address(BOTNET, BOTNET_FILES, "dataset_3BPA/iso_atoms.xyz", compared=True),
    **{
        f"potentials/mlearn/{element}/training.json.gz": Address(
            *MLEARN, f"data/{element}/training.json", compared=True
        )
        for element in ("Si", "Mo", "Li")
    },
    **{
        f"potentials/mlearn/{element}/test.json.gz": Address(*MLEARN, f"data/{element}/test.json", whole=False)
        for element in ("Si", "Mo", "Li")
    },
    "ising/gset/G77.txt.gz": Address(
        "KULeuven-MICAS/openising",
        "f2c9569cebfccd519e76bdb4465483a7addb096d",
        "ising/benchmarks/G/G77.txt",
        compared=True,
    ),
    **{
        f"ising/chimera_droplet/L512/{number:03d}.txt.gz": Address(
            *TNAC4O,
            f"instances/Chimera_droplet_instances/chimera512_spinglass_power/{number:03d}.txt",
            compared=number == 1,
        )
        for number in range(1, 101)
    },
    "ising/rna/RF00379.fasta.gz": Address(
        "spqb/adabmDCApy",
        "52c8b3d5ca00c0ad0bb4b78d291912cf90ff0cdc",
        "example_data/RF00379.fasta",
        compared=True,
    ),
}
