"""us-her2: the DenseNet of three blocks that tells HER2-positive from HER2-negative lesions on ultrasound."""
