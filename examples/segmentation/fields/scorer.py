"""From scores to a map of classes: `evaluate.scorers`; the mean IoU is trtproof's."""

from trtproof.scoring.segmentation import MeanIou


class FullSizeIou(MeanIou):
    """Mean intersection over union at the pictures' own size."""

    def predictions(self, outputs, batch):
        """Return a map of classes per picture: each score stands for 2 x 2 pixels."""
        enlarged = outputs["scores"].repeat(2, axis=2).repeat(2, axis=3)
        return super().predictions({"scores": enlarged}, batch)
