"""CNIF on LIP with what the code of the paper's follow-up trains with.

The follow-up is "Hierarchical Human Parsing with Typed Part-Relation Reasoning" (CVPR 2020), by the
same laboratory; its repository is hlzhu09/Hierarchical-Human-Parsing. Its training settings are
combined here; the network stays this package's CNIF.

    hparse build lip --manual_dir=RAW --data_dir=data
    hparse import-weights --format=resnet101-deepstem resnet101-imagenet.pth \\
        --workdir=weights/resnet101
    hparse train --config=configs/lip_lab.py --workdir=runs/lip_lab \\
        --config.init_from=weights/resnet101

Test as there, one scale, the longer side at 473 pixels (config.eval_side), at the best checkpoint:

    hparse evaluate --workdir=runs/lip_lab --step=best

Where each setting stands in that repository:

* train/train_lip.py: crop 473, 151 epochs, poly schedule of power 0.9, momentum 0.9, weight decay
  5e-4 on all weights, backbone from ImageNet, best checkpoint by mean IoU on val, which is measured
  every tenth epoch (here every 15,231 steps). Its defaults of batch size 2 and rate 7e-3 are not
  taken: the repository's one command, train_pascal.sh, has 20 and 1e-2.
* dataset/data_lip.py: scales uniform in 0.5 to 1.5, flip, BGR minus a mean; colour jitter
  (brightness 0.1, contrast 0.5, saturation 0.5, hue 0.1) and a rotation by up to 20 degrees, one
  coin for both. (There the jitter takes BGR for RGB when it computes grey; here it does not. As
  published, this branch of the file uses the labels before it assigns them; the
  loader of PASCAL-Person-Part, dataset/data_pascal.py, has the same recipe without that slip.)
* utils/lovasz_loss.py, ABRLovaszCELoss: cross-entropy and Lovasz-softmax on the parts, weight 0.4
  on the coarser levels and on the auxiliary head. There the coarser levels have Lovasz-softmax
  alone; here cross-entropy stays on every level (CNIF Eq. 18). Class weights are listed there but
  not used, nor here.
* modules/com_mod.py, ResGridNet: deep stem, output stride 16, dilations 2, 4 and 8 in block 4.

Hardware: four GPUs in train_pascal.sh. Hours and score reached: not run; no score was measured with
this config.
Published for the follow-up's own network: mean IoU 58.96 on val.
"""

from hparse_jax.config import Config, LossConfig, ModelConfig, OptimizerConfig


def get_config() -> Config:
    return Config(
        dataset="lip",
        pretrained=True,
        batch_size=20,
        epochs=151,
        crop=(473, 473),
        scale=(0.5, 1.5),
        jitter=(0.1, 0.5, 0.5, 0.1),
        rotation=20.0,
        channels="bgr",
        mean=(122.67891434, 116.66876762, 104.00698793),
        std=(1.0, 1.0, 1.0),
        checkpoint_every=1000,
        eval_every=15231,  # ten epochs of 30,462 photos
        keep_best=True,
        eval_side=473,
        model=ModelConfig(multi_grid=True, auxiliary=True),
        optimizer=OptimizerConfig(base_lr=0.01, decay_all=True),
        loss=LossConfig(level_weights=(1.0, 0.4, 0.4), lovasz_weight=1.0, auxiliary_weight=0.4),
    )
