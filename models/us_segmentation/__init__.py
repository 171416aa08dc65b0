"""us-segmentation: outlines lesions on a frame of breast ultrasound, or says that there is none."""
