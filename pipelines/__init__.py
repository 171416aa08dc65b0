"""From the files of a study to result objects, one package a modality."""
