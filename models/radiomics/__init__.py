"""Radiomics: features of a region by pyradiomics, and the classifiers of three papers."""
