"""Every coded concept that the result objects use, once, with its source.

Unless a line says otherwise a code is from PS3.16 Annex D (scheme DCM) or SNOMED CT as listed in the context group
named. A private code stands where the standard has none, or where its own would say more than a prediction can.
"""

from __future__ import annotations

from typing import NamedTuple


class Code(NamedTuple):
    """A triplet of PS3.3 8.1: value, scheme designator, meaning."""

    value: str
    scheme: str
    meaning: str


PRIVATE_SCHEME = "99MAMMONODE"
PRIVATE_SCHEME_NAME = "mammonode private codes"
PRIVATE_SCHEME_ORGANISATION = "mammonode"

# TID 1204
LANGUAGE = Code("121049", "DCM", "Language of Content Item and Descendants")
ENGLISH = Code("en-US", "RFC5646", "English (United States)")

# Purposes of reference: CID 7005 (contributing equipment), CID 7202 (source image)
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")
SOURCE_IMAGE_FOR_PROCESSING = Code("121322", "DCM", "Source Image for Image Processing Operation")

# TID 4019, algorithm identification
ALGORITHM_NAME = Code("111001", "DCM", "Algorithm Name")
ALGORITHM_PARAMETERS = Code("111002", "DCM", "Algorithm Parameters")
ALGORITHM_VERSION = Code("111003", "DCM", "Algorithm Version")

# TID 4108, tracking; also TID 1410
TRACKING_IDENTIFIER = Code("112039", "DCM", "Tracking Identifier")
TRACKING_UID = Code("112040", "DCM", "Tracking Unique Identifier")

# TID 4000 to 4023, Mammography CAD
MAMMOGRAPHY_CAD_REPORT = Code("111036", "DCM", "Mammography CAD Report")
IMAGE_LIBRARY = Code("111028", "DCM", "Image Library")
PROCESSING_AND_FINDINGS_SUMMARY = Code("111017", "DCM", "CAD Processing and Findings Summary")
INDIVIDUAL_IMPRESSION = Code("111034", "DCM", "Individual Impression/Recommendation")
IMPRESSION_DESCRIPTION = Code("111033", "DCM", "Impression Description")
RENDERING_INTENT = Code("111056", "DCM", "Rendering Intent")
SINGLE_IMAGE_FINDING = Code("111059", "DCM", "Single Image Finding")
COMPOSITE_FEATURE = Code("111015", "DCM", "Composite Feature")
COMPOSITE_TYPE = Code("111016", "DCM", "Composite Type")  # small t in PS3.16, of which PixelMed warns
SCOPE_OF_FEATURE = Code("111057", "DCM", "Scope of Feature")
CERTAINTY_OF_FEATURE = Code("111011", "DCM", "Certainty of Feature")
CERTAINTY_OF_FINDING = Code("111012", "DCM", "Certainty of Finding")
PROBABILITY_OF_CANCER = Code("111047", "DCM", "Probability of cancer")
CENTER = Code("111010", "DCM", "Center")
OUTLINE = Code("111041", "DCM", "Outline")
NUMBER_OF_CALCIFICATIONS = Code("111038", "DCM", "Number of calcifications")
CALCIFICATION_DISTRIBUTION = Code("111008", "DCM", "Calcification Distribution")
SUMMARY_OF_DETECTIONS = Code("111064", "DCM", "Summary of Detections")
SUCCESSFUL_DETECTIONS = Code("111063", "DCM", "Successful Detections")
FAILED_DETECTIONS = Code("111025", "DCM", "Failed Detections")
DETECTION_PERFORMED = Code("111022", "DCM", "Detection Performed")
SUMMARY_OF_ANALYSES = Code("111065", "DCM", "Summary of Analyses")
SUCCESSFUL_ANALYSES = Code("111062", "DCM", "Successful Analyses")
FAILED_ANALYSES = Code("111024", "DCM", "Failed Analyses")
ANALYSIS_PERFORMED = Code("111004", "DCM", "Analysis Performed")

# CID 6014, single image findings, also in CID 6016, composite features; CID 6012, distribution; CID 6043, analyses
CALCIFICATION_CLUSTER = Code("129769006", "SCT", "Calcification Cluster")
GROUPED_DISTRIBUTION = Code("129766004", "SCT", "Grouped calcification distribution")
INDIVIDUAL_IMPRESSION_ANALYSIS = Code("111233", "DCM", "Individual Impression / Recommendation Analysis")

# CID 6035, how the findings of a composite are related; CID 6036, its scope
RELATED_SPATIALLY = Code("111154", "DCM", "Target content items are related spatially")
ON_MULTIPLE_IMAGES = Code("111158", "DCM", "Feature detected on multiple images")

# CID 6034, rendering intent
PRESENTATION_REQUIRED = Code("111150", "DCM", "Presentation Required: Rendering device is expected to present")
PRESENTATION_OPTIONAL = Code("111151", "DCM", "Presentation Optional: Rendering device may present")

# CID 6047, keyed by (how many algorithms succeeded, are there findings)
FINDINGS_SUMMARY = {
    ("all", False): Code("111241", "DCM", "All algorithms succeeded; without findings"),
    ("all", True): Code("111242", "DCM", "All algorithms succeeded; with findings"),
    ("some", False): Code("111243", "DCM", "Not all algorithms succeeded; without findings"),
    ("some", True): Code("111244", "DCM", "Not all algorithms succeeded; with findings"),
    ("none", False): Code("111245", "DCM", "No algorithms succeeded; without findings"),
}

# CID 6042, status of results, keyed by the contract's AlgorithmStatus
RESULT_STATUS = {
    "succeeded": Code("111222", "DCM", "Succeeded"),
    "partially_succeeded": Code("111223", "DCM", "Partially Succeeded"),
    "failed": Code("111224", "DCM", "Failed"),
    "not_attempted": Code("111225", "DCM", "Not Attempted"),
}

# TID 4020 and TID 1602 / 1603, image library descriptors
IMAGE_LATERALITY = Code("111027", "DCM", "Image Laterality")
IMAGE_VIEW = Code("111031", "DCM", "Image View")
IMAGE_VIEW_MODIFIER = Code("111032", "DCM", "Image View Modifier")
PATIENT_ORIENTATION_ROW = Code("111044", "DCM", "Patient Orientation Row")
PATIENT_ORIENTATION_COLUMN = Code("111043", "DCM", "Patient Orientation Column")
STUDY_DATE = Code("111060", "DCM", "Study Date")
STUDY_TIME = Code("111061", "DCM", "Study Time")
CONTENT_DATE = Code("111018", "DCM", "Content Date")
CONTENT_TIME = Code("111019", "DCM", "Content Time")
HORIZONTAL_PIXEL_SPACING = Code("111026", "DCM", "Horizontal Pixel Spacing")
VERTICAL_PIXEL_SPACING = Code("111066", "DCM", "Vertical Pixel Spacing")
MODALITY = Code("121139", "DCM", "Modality")
TARGET_REGION = Code("123014", "DCM", "Target Region")
PIXEL_DATA_ROWS = Code("110910", "DCM", "Pixel Data Rows")
PIXEL_DATA_COLUMNS = Code("110911", "DCM", "Pixel Data Columns")

# CID 6022, side of the breast (TID 4000); CID 244, laterality (TID 1500)
BREAST_SIDE = {"L": Code("80248007", "SCT", "Left breast"), "R": Code("73056007", "SCT", "Right breast")}
SIDE = {"L": Code("7771000", "SCT", "Left"), "R": Code("24028007", "SCT", "Right")}

# CID 4014, by the ViewPosition term of PS3.3 C.8.11.7
VIEW = {
    "CC": Code("399162004", "SCT", "cranio-caudal"),
    "MLO": Code("399368009", "SCT", "medio-lateral oblique"),
    "ML": Code("399260004", "SCT", "medio-lateral"),
    "LM": Code("399352003", "SCT", "latero-medial"),
    "LMO": Code("399099002", "SCT", "latero-medial oblique"),
    "FB": Code("399196006", "SCT", "caudo-cranial (from below)"),
    "SIO": Code("399188001", "SCT", "superolateral to inferomedial oblique"),
    "ISO": Code("441555000", "SCT", "inferomedial to superolateral oblique"),
    "XCCL": Code("399192008", "SCT", "cranio-caudal exaggerated laterally"),
    "XCCM": Code("399101009", "SCT", "cranio-caudal exaggerated medially"),
}

# CID 4015, by code value
VIEW_MODIFIER = {
    code.value: code
    for code in (
        Code("399161006", "SCT", "Cleavage"),
        Code("399011000", "SCT", "Axillary Tail"),
        Code("399197002", "SCT", "Rolled Lateral"),
        Code("399226006", "SCT", "Rolled Medial"),
        Code("414493004", "SCT", "Rolled Inferior"),
        Code("415670009", "SCT", "Rolled Superior"),
        Code("399209000", "SCT", "Implant Displaced"),
        Code("399163009", "SCT", "Magnification"),
        Code("399055006", "SCT", "Spot Compression"),
        Code("399110001", "SCT", "Tangential"),
        Code("442581004", "SCT", "Nipple in profile"),
        Code("441752004", "SCT", "Anterior compression"),
        Code("442593008", "SCT", "Infra-mammary fold"),
        Code("442580003", "SCT", "Axillary tissue"),
    )
}

# CID 29, the modalities a breast study brings
ACQUISITION_MODALITY = {
    "MG": Code("MG", "DCM", "Mammography"),
    "US": Code("US", "DCM", "Ultrasound"),
    "DX": Code("DX", "DCM", "Digital Radiography"),
    "CR": Code("CR", "DCM", "Computed Radiography"),
    "MR": Code("MR", "DCM", "Magnetic Resonance"),
    "CT": Code("CT", "DCM", "Computed Tomography"),
}

# TID 1500, 1410, 1001 to 1004
IMAGING_MEASUREMENT_REPORT = Code("126000", "DCM", "Imaging Measurement Report")
IMAGE_LIBRARY_GROUP = Code("126200", "DCM", "Image Library Group")
IMAGING_MEASUREMENTS = Code("126010", "DCM", "Imaging Measurements")
MEASUREMENT_GROUP = Code("125007", "DCM", "Measurement Group")
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
PROCEDURE_REPORTED = Code("121058", "DCM", "Procedure reported")
IMAGING_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
FINDING = Code("121071", "DCM", "Finding")
FINDING_SITE = Code("363698007", "SCT", "Finding Site")
LATERALITY = Code("272741003", "SCT", "Laterality")
BREAST = Code("76752008", "SCT", "Breast")
IMAGE_REGION = Code("111030", "DCM", "Image Region")
SOURCE = Code("260753009", "SCT", "Source")
COMMENT = Code("121106", "DCM", "Comment")
OBSERVER_TYPE = Code("121005", "DCM", "Observer Type")
DEVICE = Code("121007", "DCM", "Device")
DEVICE_OBSERVER_UID = Code("121012", "DCM", "Device Observer UID")
DEVICE_OBSERVER_NAME = Code("121013", "DCM", "Device Observer Name")
DEVICE_OBSERVER_MANUFACTURER = Code("121014", "DCM", "Device Observer Manufacturer")
DEVICE_OBSERVER_MODEL_NAME = Code("121015", "DCM", "Device Observer Model Name")
DEVICE_OBSERVER_SERIAL_NUMBER = Code("121016", "DCM", "Device Observer Serial Number")

# What was found, by the report's target: CID 6014; CID 7159, lesion segmentation types
LESION = Code("52988006", "SCT", "Lesion")
FINDING_TYPE = {"calcification": CALCIFICATION_CLUSTER, "lesion": LESION}

# CID 7470, linear measurements; CID 7471, area measurements
LONG_AXIS = Code("103339001", "SCT", "Long axis")
SHORT_AXIS = Code("103340004", "SCT", "Short axis")
AREA = Code("42798000", "SCT", "Area")

# Units (UCUM, PS3.16 CID 7460, 7461 and 7181)
PERCENT = Code("%", "UCUM", "Percent")
MILLIMETER = Code("mm", "UCUM", "millimeter")
SQUARE_MILLIMETER = Code("mm2", "UCUM", "square millimeter")
NO_UNITS = Code("1", "UCUM", "no units")
PIXELS = Code("{pixels}", "UCUM", "pixels")

# Private: what the node concluded about a study and about a breast; never the code of a diagnosis or an assay
ANALYSIS_OUTCOME = Code("OUTCOME", PRIVATE_SCHEME, "Analysis outcome")
OUTCOME = {
    "analysed": Code("ANALYSED", PRIVATE_SCHEME, "Analysed"),
    "not_analysed": Code("NOT_ANALYSED", PRIVATE_SCHEME, "Not analysed"),
    "failed": Code("FAILED", PRIVATE_SCHEME, "Analysis failed"),
}
BREAST_CALCIFICATION_STATUS = {
    "L": Code("BREAST_STATUS_L", PRIVATE_SCHEME, "Left breast calcification status"),
    "R": Code("BREAST_STATUS_R", PRIVATE_SCHEME, "Right breast calcification status"),
}
BREAST_STATUS = {
    "benign": Code("PRED_BENIGN", PRIVATE_SCHEME, "Predicted benign calcifications"),
    "malignant": Code("PRED_MALIGNANT", PRIVATE_SCHEME, "Predicted malignant calcifications"),
    "no_calcification": Code("NO_CALCIFICATION", PRIVATE_SCHEME, "No calcification detected"),
    "not_analysed": Code("NOT_ANALYSED", PRIVATE_SCHEME, "Not analysed"),
}

# Private: a prediction of a receptor is no assay of it, so it never has the code of one
PREDICTED_HER2_POSITIVE = Code("PRED_HER2_POS", PRIVATE_SCHEME, "Predicted probability of HER2-positive")

# Private: what is predicted of a lesion, by outcome (`ReportedPrediction.name`)
PREDICTED = {
    "er": Code("PRED_ER", PRIVATE_SCHEME, "Predicted estrogen receptor status"),
    "pr": Code("PRED_PR", PRIVATE_SCHEME, "Predicted progesterone receptor status"),
    "her2": Code("PRED_HER2", PRIVATE_SCHEME, "Predicted HER2 status"),
    "her2_level": Code("PRED_HER2_LEVEL", PRIVATE_SCHEME, "Predicted HER2 level"),
    "luminal": Code("PRED_LUMINAL", PRIVATE_SCHEME, "Predicted luminal status"),
    "triple_negative": Code("PRED_TN", PRIVATE_SCHEME, "Predicted triple-negative status"),
    "subtype": Code("PRED_SUBTYPE", PRIVATE_SCHEME, "Predicted molecular subtype"),
    "node": Code("PRED_NODE", PRIVATE_SCHEME, "Predicted axillary lymph node status"),
    "invasive": Code("PRED_INVASIVE", PRIVATE_SCHEME, "Predicted invasion"),
    "invasive_or_microinvasive": Code("PRED_INV_OR_MI", PRIVATE_SCHEME, "Predicted invasion or microinvasion"),
}

# Private: the classes of each outcome
PREDICTED_VALUE = {
    "er": {
        "negative": Code("ER_NEGATIVE", PRIVATE_SCHEME, "Predicted ER-negative"),
        "positive": Code("ER_POSITIVE", PRIVATE_SCHEME, "Predicted ER-positive"),
    },
    "pr": {
        "negative": Code("PR_NEGATIVE", PRIVATE_SCHEME, "Predicted PR-negative"),
        "positive": Code("PR_POSITIVE", PRIVATE_SCHEME, "Predicted PR-positive"),
    },
    "her2": {
        "negative": Code("HER2_NEGATIVE", PRIVATE_SCHEME, "Predicted HER2-negative"),
        "positive": Code("HER2_POSITIVE", PRIVATE_SCHEME, "Predicted HER2-positive"),
    },
    "her2_level": {
        "zero": Code("HER2_LEVEL_ZERO", PRIVATE_SCHEME, "Predicted HER2 level zero"),
        "low": Code("HER2_LEVEL_LOW", PRIVATE_SCHEME, "Predicted HER2 level low"),
        "positive": Code("HER2_LEVEL_POS", PRIVATE_SCHEME, "Predicted HER2 level positive"),
    },
    "luminal": {
        "non_luminal": Code("NON_LUMINAL", PRIVATE_SCHEME, "Predicted non-luminal"),
        "luminal": Code("LUMINAL", PRIVATE_SCHEME, "Predicted luminal"),
    },
    "triple_negative": {
        "other": Code("NON_TN", PRIVATE_SCHEME, "Predicted not triple-negative"),
        "triple_negative": Code("TN", PRIVATE_SCHEME, "Predicted triple-negative"),
    },
    "subtype": {
        "luminal_a": Code("SUB_LUMINAL_A", PRIVATE_SCHEME, "Predicted subtype luminal A"),
        "luminal_b": Code("SUB_LUMINAL_B", PRIVATE_SCHEME, "Predicted subtype luminal B"),
        "her2_hr_positive": Code("SUB_HER2_HR_POS", PRIVATE_SCHEME, "Predicted subtype HER2-positive, HR-positive"),
        "her2_hr_negative": Code("SUB_HER2_HR_NEG", PRIVATE_SCHEME, "Predicted subtype HER2-positive, HR-negative"),
        "triple_negative": Code("SUB_TN", PRIVATE_SCHEME, "Predicted subtype triple-negative"),
    },
    "node": {
        "negative": Code("NODE_NEGATIVE", PRIVATE_SCHEME, "Predicted node-negative"),
        "positive": Code("NODE_POSITIVE", PRIVATE_SCHEME, "Predicted node-positive"),
    },
    "invasive": {
        "dcis": Code("DCIS_OR_MI", PRIVATE_SCHEME, "Predicted DCIS, with or without microinvasion"),
        "invasive": Code("INVASIVE", PRIVATE_SCHEME, "Predicted invasive"),
    },
    "invasive_or_microinvasive": {
        "dcis": Code("DCIS_NO_MI", PRIVATE_SCHEME, "Predicted DCIS without microinvasion"),
        "invasive": Code("INVASIVE_OR_MI", PRIVATE_SCHEME, "Predicted invasive or microinvasive"),
    },
}

# Private: the probability of the positive one of two classes, and of each of more
PREDICTED_PROBABILITY = {
    "er": {"positive": Code("PROB_ER_POS", PRIVATE_SCHEME, "Predicted probability of ER-positive")},
    "pr": {"positive": Code("PROB_PR_POS", PRIVATE_SCHEME, "Predicted probability of PR-positive")},
    "her2": {"positive": PREDICTED_HER2_POSITIVE},
    "her2_level": {
        "zero": Code("PROB_LEVEL_ZERO", PRIVATE_SCHEME, "Predicted probability of HER2 level zero"),
        "low": Code("PROB_LEVEL_LOW", PRIVATE_SCHEME, "Predicted probability of HER2 level low"),
        "positive": Code("PROB_LEVEL_POS", PRIVATE_SCHEME, "Predicted probability of HER2 level positive"),
    },
    "luminal": {"luminal": Code("PROB_LUMINAL", PRIVATE_SCHEME, "Predicted probability of luminal")},
    "triple_negative": {
        "triple_negative": Code("PROB_TN", PRIVATE_SCHEME, "Predicted probability of triple-negative"),
    },
    "subtype": {
        "luminal_a": Code("PROB_SUB_LUM_A", PRIVATE_SCHEME, "Predicted probability of subtype luminal A"),
        "luminal_b": Code("PROB_SUB_LUM_B", PRIVATE_SCHEME, "Predicted probability of subtype luminal B"),
        "her2_hr_positive": Code(
            "PROB_SUB_HR_POS", PRIVATE_SCHEME, "Predicted probability of subtype HER2-positive, HR-positive"
        ),
        "her2_hr_negative": Code(
            "PROB_SUB_HR_NEG", PRIVATE_SCHEME, "Predicted probability of subtype HER2-positive, HR-negative"
        ),
        "triple_negative": Code("PROB_SUB_TN", PRIVATE_SCHEME, "Predicted probability of subtype triple-negative"),
    },
    "node": {"positive": Code("PROB_NODE_POS", PRIVATE_SCHEME, "Predicted probability of node-positive")},
    "invasive": {"invasive": Code("PROB_INVASIVE", PRIVATE_SCHEME, "Predicted probability of invasive")},
    "invasive_or_microinvasive": {
        "invasive": Code("PROB_INV_OR_MI", PRIVATE_SCHEME, "Predicted probability of invasive or microinvasive"),
    },
}

# Private: who marked the region that a prediction is made from; it tells its group from that of a finding
REGION_MARKED_BY = Code("REGION_MARKED_BY", PRIVATE_SCHEME, "Region of a prediction marked by")
MARKED_BY = {
    "radiologist": Code("BY_RADIOLOGIST", PRIVATE_SCHEME, "Marked by a radiologist"),
    "detector": Code("BY_DETECTOR", PRIVATE_SCHEME, "Marked by a detector"),
}
