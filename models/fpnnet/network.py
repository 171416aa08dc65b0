"""The network: torchvision's Faster R-CNN on ResNet-50 with FPN, for one grey channel at the scale it comes in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FasterRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign, clip_boxes_to_image, nms, remove_small_boxes

from models.channels import channels

CLASSES = ("background", "benign", "malignant")

ANCHOR_SIZES_PX = ((16,), (32,), (64,), (128,), (256,))
"""One size a level, P2 to P6: 1.6, 3.2, 6.4, 12.8 and 25.6 mm at 0.1 mm. Groups lie within 1 to 2 cm, the smallest of
them within 2 mm (ACR BI-RADS Atlas, 5th edition, mammography, "Distribution")."""

ASPECT_RATIOS = (0.5, 1.0, 2.0)

PROPOSALS = 300
"""Places an image that are looked at closely. A mammogram has few; torchvision's 1000 cost 40 GFLOP more."""

COARSEST_STRIDE_PX = 64
"""P6. Padded to a multiple of it, an image has feature maps, and its anchors strides, of exactly 1/4 to 1/64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundBoxes:
    """What the network found on one image, highest score first.

    Attributes
    ----------
    boxes : torch.Tensor
        Shape ``(n, 4)``: ``x0, y0, x1, y1`` in pixels of the image.
    labels : torch.Tensor
        Shape ``(n,)``: index into `CLASSES`, 1 or 2.
    scores : torch.Tensor
        Shape ``(n,)``: probability that there are calcifications, benign or malignant.
    malignancy : torch.Tensor
        Shape ``(n,)``: probability that there are malignant ones; at most `scores`.
    activation : torch.Tensor or None
        Shape of the image, 0 to 1.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    malignancy: Tensor
    activation: Tensor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """`FoundBoxes` of a part of an image, in pixels of the part; `relevance` of shape ``(n, 7, 7)`` or None."""

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    malignancy: Tensor
    relevance: Tensor | None


class ChannelTransform(GeneralizedRCNNTransform):  # type: ignore[misc]  # torchvision has no types
    """In place of torchvision's: no rescaling; grey becomes `channels`; zeros are put below and to the right."""

    def __init__(self) -> None:
        super().__init__(
            min_size=0,
            max_size=0,
            image_mean=[0.0, 0.0, 0.0],
            image_std=[1.0, 1.0, 1.0],
            size_divisible=COARSEST_STRIDE_PX,
        )

    def normalize(self, image: Tensor) -> Tensor:
        """Split the grey image, shape ``(1, rows, columns)``, into the channels of the network."""
        return channels(image[0])

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        """Leave the image at its canonical spacing."""
        return image, target


class ExactRPNHead(RPNHead):  # type: ignore[misc]  # torchvision has no types
    """torchvision's, its answers in float32: a box decoded in bfloat16 lies on a grid of 8 pixels beyond pixel 1024."""

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return objectness and box deltas of each level."""
        objectness, deltas = super().forward(features)
        return [values.float() for values in objectness], [values.float() for values in deltas]


class FPNNet(FasterRCNN):  # type: ignore[misc]  # torchvision has no types
    """Faster R-CNN of the paper: ResNet-50, FPN, classes `CLASSES`.

    In training it is torchvision's `FasterRCNN`: a list of ``(1, rows, columns)`` images and targets in, losses out.

    Parameters
    ----------
    box_score_thresh : float
        Boxes at or below this score are dropped.
    box_nms_thresh : float
        Intersection over union above which the lower of two boxes of a class is dropped.
    box_detections_per_img : int
        At most this many boxes an image; the highest scores stay.
    """

    def __init__(self, *, box_score_thresh: float, box_nms_thresh: float, box_detections_per_img: int) -> None:
        backbone = resnet_fpn_backbone(
            backbone_name="resnet50", weights=None, norm_layer=nn.BatchNorm2d, trainable_layers=5
        )
        anchors = AnchorGenerator(ANCHOR_SIZES_PX, (ASPECT_RATIOS,) * len(ANCHOR_SIZES_PX))
        super().__init__(
            backbone,
            num_classes=len(CLASSES),
            rpn_anchor_generator=anchors,
            rpn_head=ExactRPNHead(backbone.out_channels, anchors.num_anchors_per_location()[0]),
            rpn_pre_nms_top_n_train=500,
            rpn_post_nms_top_n_train=200,
            rpn_post_nms_top_n_test=PROPOSALS,
            box_roi_pool=_roi_pool(),
            box_batch_size_per_image=64,  # a crop holds a cluster or two; torchvision's 512 are for photographs
            box_score_thresh=box_score_thresh,
            box_nms_thresh=box_nms_thresh,
            box_detections_per_img=box_detections_per_img,
        )
        self.transform = ChannelTransform()

    def detect(
        self, image: Tensor, *, score_threshold: float | None = None, with_activation: bool = False
    ) -> FoundBoxes:
        """Find boxes on one image, looked at as a whole.

        Parameters
        ----------
        image : torch.Tensor
            Shape ``(rows, columns)``, float32, 0 to 1.
        score_threshold : float or None
            For this call, in place of `box_score_thresh`; other threads are not affected.
        with_activation : bool
            Whether to compute the class activation map.
        """
        size = (image.shape[0], image.shape[1])
        found = self.look(channels(image), score_threshold=score_threshold, with_relevance=with_activation)
        activation = None if found.relevance is None else paint(found.relevance, found.boxes, found.scores, size)
        return FoundBoxes(
            boxes=found.boxes,
            labels=found.labels,
            scores=found.scores,
            malignancy=found.malignancy,
            activation=activation,
        )

    def look(self, seen: Tensor, *, score_threshold: float | None = None, with_relevance: bool = False) -> Looked:
        """Find boxes in a part of an image.

        Parameters
        ----------
        seen : torch.Tensor
            Shape ``(3, rows, columns)``: `models.channels.channels` of the image, cut out.
        score_threshold : float or None
            In place of `box_score_thresh`.
        with_relevance : bool
            Whether to compute what speaks for each box.
        """
        size = (seen.shape[1], seen.shape[2])
        padding = (0, -size[1] % COARSEST_STRIDE_PX, 0, -size[0] % COARSEST_STRIDE_PX)
        padded = F.pad(seen, padding)[None].contiguous(memory_format=torch.channels_last)
        features = {level: values.float() for level, values in self.backbone(padded).items()}
        proposals, _ = self.rpn(ImageList(padded, [size]), features)
        threshold = self.roi_heads.score_thresh if score_threshold is None else score_threshold
        with torch.autocast(seen.device.type, enabled=False):  # little work, and scores as exact as the features
            boxes, labels, scores, malignancy = self._select(features, proposals, [size], threshold)
            relevance = self._relevance(features, boxes, labels, [size]) if with_relevance else None
        return Looked(boxes=boxes, labels=labels, scores=scores, malignancy=malignancy, relevance=relevance)

    def _select(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_sizes: list[tuple[int, int]],
        score_threshold: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Classify the proposals of one image and keep one box a place: suppression knows no classes.

        torchvision lets a benign and a malignant box stand at one place, each with its share of the probability; a
        cluster that might be either would then count twice, and each time as less than it is.
        """
        heads = self.roi_heads
        logits, regression = heads.box_predictor(heads.box_head(heads.box_roi_pool(features, proposals, image_sizes)))
        probabilities = logits.float().softmax(dim=1)
        labels = probabilities[:, 1:].argmax(dim=1) + 1
        decoded = heads.box_coder.decode(regression.float(), proposals)
        boxes = clip_boxes_to_image(decoded[torch.arange(len(labels), device=labels.device), labels], image_sizes[0])
        scores = 1.0 - probabilities[:, 0]
        kept = torch.where(scores > score_threshold)[0]
        kept = kept[remove_small_boxes(boxes[kept], min_size=1.0)]
        kept = kept[nms(boxes[kept], scores[kept], heads.nms_thresh)[: heads.detections_per_img]]
        return boxes[kept], labels[kept], scores[kept], probabilities[kept, CLASSES.index("malignant")]

    def _relevance(
        self, features: dict[str, Tensor], boxes: Tensor, labels: Tensor, image_sizes: list[tuple[int, int]]
    ) -> Tensor:
        """Return how much each of the 7 by 7 cells of a box speaks for its class: HiResCAM, shape ``(n, 7, 7)``.

        The head behind the pooled features is two linear layers with ReLU and a linear one, so it is linear wherever
        the same units stay active. Its slope is the product of the three weight matrices with the inactive units left
        out; slope times feature is, up to biases, the exact share of a cell in the class's logit over the background's
        (Draelos and Carin, arXiv:2011.08891, equation 5). That needs no backward pass.
        """
        pooled = self.roi_heads.box_roi_pool(features, [boxes], image_sizes)
        head, classes = self.roi_heads.box_head, self.roi_heads.box_predictor.cls_score.weight
        first = F.relu(head.fc6(pooled.flatten(1)))
        second = F.relu(head.fc7(first))
        slope = (classes[labels] - classes[0]) * (second > 0)
        slope = (slope @ head.fc7.weight) * (first > 0)
        slope = slope @ head.fc6.weight
        return F.relu((slope.view_as(pooled) * pooled).sum(dim=1))


def _roi_pool() -> MultiScaleRoIAlign:
    """Return torchvision's pooling over P2 to P5, its scales settled.

    It infers them from the first image it sees and keeps them; an odd first image would spoil all that follow.
    """
    levels = ("0", "1", "2", "3")
    pool = MultiScaleRoIAlign(featmap_names=list(levels), output_size=7, sampling_ratio=2)
    side = COARSEST_STRIDE_PX
    maps = {level: torch.zeros(1, 1, side >> (2 + power), side >> (2 + power)) for power, level in enumerate(levels)}
    pool(maps, [torch.zeros(0, 4)], [(side, side)])
    return pool


def paint(relevance: Tensor, boxes: Tensor, scores: Tensor, size: tuple[int, int]) -> Tensor:
    """Lay the cells of each box over the image.

    A cell shows the mean of itself and its neighbours, with nothing beyond the box: single cells at the rim of a box
    speak loudest where a cluster ends, and would draw the eye beside it.

    Each box peaks at its score, less what interpolation takes off a peak that falls between pixels, so that maps of
    different images compare. Where boxes overlap the higher value stays; outside all boxes it is 0.

    Parameters
    ----------
    relevance : torch.Tensor
        Shape ``(n, cells, cells)``, not negative.
    size : tuple of int
        ``(rows, columns)``.

    Returns
    -------
    torch.Tensor
        Shape `size`, float32, 0 to 1, on the CPU.
    """
    canvas = torch.zeros(size)
    smooth_cells = F.avg_pool2d(relevance[:, None], 3, stride=1, padding=1)[:, 0] if len(relevance) else relevance
    peaks = smooth_cells.amax(dim=(1, 2), keepdim=True)
    scaled = torch.where(peaks > 0, smooth_cells / peaks, 0.0) * scores[:, None, None]
    for cells, box in zip(scaled.cpu(), boxes.cpu(), strict=True):
        x0, y0 = (int(edge) for edge in box[:2].floor())
        x1, y1 = (int(edge) for edge in box[2:].ceil())
        smooth = F.interpolate(cells[None, None], size=(y1 - y0, x1 - x0), mode="bilinear", align_corners=False)[0, 0]
        region = canvas[y0:y1, x0:x1]
        torch.maximum(region, smooth, out=region)
    return canvas.clamp_(0.0, 1.0)
