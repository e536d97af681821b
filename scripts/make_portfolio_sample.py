"""Draw the companies and the portfolio of data/samples/portfolio: all made up, from sciml_zoo.emissions.synthetic.

python scripts/make_portfolio_sample.py
"""

import argparse
from pathlib import Path

import pandas as pd

from sciml_zoo.emissions.synthetic import synthetic_panel, synthetic_portfolio

COMPANIES, HOLDINGS, SEED = 60, 20, 0
# Purchased energy of the made-up companies, as a share of another draw of what they emit themselves.
_SCOPE_2 = 0.2


def tables(seed: int) -> dict[str, pd.DataFrame]:
    """Returns the four tables by the names of their files; tonnes and scores are whole numbers."""
    panel = synthetic_panel(COMPANIES, seed=seed)
    portfolio = synthetic_portfolio(panel, HOLDINGS, seed=seed)
    held = [key for key in panel.companies if key in set(portfolio.emissions["company"])]
    purchased = synthetic_panel(COMPANIES, seed=seed + 1).select(held).to_long()
    purchased = purchased.assign(emissions=_SCOPE_2 * purchased["emissions"], scope="2", data_quality=2)
    emissions = pd.concat([portfolio.emissions, purchased])
    found = {
        "companies": panel.to_long()[["company", "year", "emissions", "unit"]],
        "holdings": portfolio.holdings,
        "financials": portfolio.financials.assign(evic=portfolio.financials["evic"].str.removesuffix(".0")),
        "emissions": emissions[["company", "year", "scope", "emissions", "unit", "data_quality"]],
    }
    for table in found.values():
        # Nobody must take these for real.
        table["company"] = "made-up " + table["company"]
        amounts = table.select_dtypes("float").columns
        table[amounts] = table[amounts].round().astype("int64")
    return found


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = Path(__file__).resolve().parents[1] / "data" / "samples" / "portfolio"
    parser.add_argument("--out", type=Path, default=folder, help="folder; default: data/samples/portfolio")
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, table in tables(arguments.seed).items():
        table.to_csv(arguments.out / f"{name}.csv", index=False, lineterminator="\n")
        print(f"{name}.csv: {len(table)} rows")


if __name__ == "__main__":
    main()
