"""Each dense method is its loss on its student's maps, and its options do what they say."""

import copy

import pytest
import torch

from protocols import Recipe
from tests.methods.dense_toys import CHANNELS, CLASSES, SIZE, STUDENT, batch, build, loss_of, teacher, toy_networks
from xkd_bench import methods
from xkd_bench.errors import UsageError
from xkd_bench.losses import af_dcd, dense_features, dense_logits, dense_relations, lix
from xkd_bench.losses.af_dcd_presets import PRESETS
from xkd_bench.losses.attention import attention_transfer
from xkd_bench.losses.dense_csknet import csknet_loss
from xkd_bench.losses.dense_logits import segmentation_loss
from xkd_bench.losses.lix_features import arfd
from xkd_bench.losses.lix_weights import discrepancy
from xkd_bench.methods._dense_maps import PUBLISHED_ENTRIES, PUBLISHED_PLACES
from xkd_bench.methods.dense import Clock, Ramp, on_grid, outputs_of
from xkd_bench.models.csknet_norms import ModalBatchNorm, exchange_sites
from xkd_bench.training import make_optimiser


def distilled(name: str, **options):
    """(what the method adds to the labels' loss, the student's outputs, the teacher's logits on their grid, batch)."""
    model, shown = build(name, **options), batch(name, **options)
    torch.manual_seed(0)
    found = model(copy.deepcopy(shown))["distil"].item()
    out = build(name, **options).student.outputs(shown.image)
    return found, out, on_grid(shown.teacher.logits, out.logits), shown


LOGITS = {
    "kd": ({"tau": 2.0, "weight": 3.0}, lambda s, t, y: 3 * dense_logits.kd(s, t, 2.0)),
    "dkd": ({"alpha": 2.0, "beta": 3.0, "tau": 2.0}, lambda s, t, y: dense_logits.dkd(s, t, y, 2.0, 3.0, 2.0).loss),
    "dist": ({"inter": 2.0, "intra": 0.5}, lambda s, t, y: dense_logits.dist(s, t, 1.0, 2.0, 0.5)),
    "cwd": ({}, lambda s, t, y: 3 * dense_logits.cwd(s, t, 4.0)),
}


@pytest.mark.parametrize("name", LOGITS)
def test_losses_on_logits_are_those_of_the_student_and_the_teacher(name):
    options, loss = LOGITS[name]
    found, out, taught, shown = distilled(name, **options)
    assert found == pytest.approx(loss(out.logits, taught, shown.label).item(), rel=1e-5)


MAPS = {
    "ifvd": lambda s, t, y: 20 * dense_features.ifvd(s, t, y, len(CLASSES)),
    "cka": lambda s, t, y: dense_features.cka(s, t),
    "at": lambda s, t, y: 10_000 * s[0, 0].numel() / PUBLISHED_PLACES * attention_transfer([s], [t]),
}


@pytest.mark.parametrize("at", ["decoded", "encoder"])
@pytest.mark.parametrize("name", MAPS)
def test_losses_on_maps_look_where_they_are_told_on_the_students_grid(name, at):
    found, out, _, shown = distilled(name, at=at)
    f_s, f_t = (x.decoded if at == "decoded" else x.maps[-1] for x in (out, shown.teacher))
    if at == "encoder":
        assert f_s.shape[2:] != f_t.shape[2:], "networks of two strides"
    assert found == pytest.approx(MAPS[name](f_s, on_grid(f_t, f_s), shown.label).item(), rel=1e-5)


def test_skd_is_its_two_published_terms():
    found, out, taught, shown = distilled("skd")
    pixel = dense_logits.skd_pixel(out.logits, taught)
    pair = dense_relations.skd_pair(out.decoded, on_grid(shown.teacher.decoded, out.decoded))
    assert found == pytest.approx((10 * pixel + 0.5 * pair).item(), rel=1e-5)


def test_a_published_weight_of_a_sum_means_on_a_small_map_what_it_meant_on_the_large_one():
    """On a map of the published size nothing is scaled; on a small one, by as much as it is smaller."""
    for name, term, raw in (("mgd", None, {}), ("af-dcd", "reconstruction", {"weight_kd": 0, "weight_ctr": 0})):
        scaled, plain = build(name, **raw), build(name, scaled=False, **raw)
        shown = batch(name)
        losses = []
        for model in (scaled, plain):
            torch.manual_seed(0)
            losses.append(model(shown)["distil"].item())
        entries = build(name).student.outputs(shown.image).maps[-1][0, 0].numel() * teacher().widths[-1]
        assert losses[0] / losses[1] == pytest.approx(PUBLISHED_ENTRIES / entries, rel=1e-4)
        assert term is None or losses[1] > 0


def test_af_dcd_is_the_released_objective():
    model, shown = build("af-dcd", mask="central", fit="crop", pool=1, tau=0.7), batch("af-dcd")
    parts = model(copy.deepcopy(shown))
    out = model.student.outputs(shown.image)
    made, taught = model.reconstruct(out.maps[-1]), on_grid(shown.teacher.maps[-1], out.maps[-1])
    reconstruction = af_dcd.feature_reconstruction(made, taught)
    contrast = af_dcd.omni_contrast(made, taught, pool=1, tau=0.7, fit="crop")
    assert parts["reconstruction"].item() == pytest.approx(reconstruction.item(), rel=1e-3)
    assert parts["contrast"].item() == pytest.approx(contrast.item(), rel=1e-3)
    share = PUBLISHED_ENTRIES / taught[0].numel()
    expected = parts["kd"] + 4e-5 * share * parts["reconstruction"] + 1e-3 * parts["contrast"]
    assert parts["distil"].item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("variant", ["spatial", "channel", "spatial+channel"])
def test_af_dcds_variants_are_the_contrasts_of_their_names(variant):
    model = build("af-dcd", variant=variant, pool=1, patch=2)
    torch.manual_seed(0)
    made, taught = torch.randn(2, 2, 32, 4, 6)
    both = {
        "spatial": af_dcd.spatial_contrast(made, taught, pool=1, patch=2),
        "channel": af_dcd.channel_contrast(made, taught, pool=1, fit="crop"),
    }
    expected = sum(loss for name, loss in both.items() if name in variant)
    assert model.contrast(made, taught).item() == pytest.approx(expected.item(), rel=1e-5)


def test_af_dcds_patches_fit_small_maps_or_it_says_why_not():
    taught = torch.randn(2, 32, 4, 6)
    shrunk = build("af-dcd")
    assert shrunk._fitted((64, 128)) == (4, 4), "as published where there is room"
    assert shrunk._fitted((6, 8)) == (1, 4)
    assert shrunk._fitted((3, 4)) == (1, 2)
    assert torch.isfinite(shrunk.contrast(taught + 1, taught))
    for fit in ("raise", "crop"):
        with pytest.raises(
            UsageError, match=r"a map of 4x6 is not made of patches of 4 after pooling by 4.*fit=shrink"
        ):
            build("af-dcd", fit=fit).contrast(taught + 1, taught)
    with pytest.raises(
        UsageError, match=r"option groups=5 of method 'af-dcd': .* 32 channels, which divide into 2, 4, 8"
    ):
        build("af-dcd", groups=5)


def test_af_dcds_presets_fill_what_is_not_given():
    method = methods.get("af-dcd")
    camvid = method.parse_options("af-dcd", {"preset": "camvid", "weight_ctr": "0.5"})
    assert (camvid.weight_fd, camvid.pool, camvid.weight_ctr) == (PRESETS["camvid"].weight_fd, 1, 0.5)
    assert method.parse_options("af-dcd", {}).weight_fd == PRESETS["default"].weight_fd
    with pytest.raises(UsageError, match="option preset=cityscape of method 'af-dcd'"):
        method.parse_options("af-dcd", {"preset": "cityscape"})


def test_cirkd_remembers_the_teachers_pixels_by_class_and_takes_it_with_its_checkpoint():
    model, shown = build("cirkd", pixels=50, regions=9), batch("cirkd")
    model(shown)
    present = set(shown.label[shown.label != 255].tolist())
    assert set(model.regions.count.nonzero()[:, 0].tolist()) <= present
    assert model.pixels.count.sum() > 0
    assert "pixels.features" in model.state_dict()
    before = model.pixels.count.clone()
    model.eval()
    model(shown)
    assert torch.equal(model.pixels.count, before), "what is only evaluated is not remembered"


def test_cirkds_quadratic_term_has_the_published_stride():
    model, shown = build("cirkd", pixel=0, region=0, kd=0, stride=16), batch("cirkd")
    found = model(shown)["mini_batch"].item()
    out = build("cirkd").student.outputs(shown.image)
    coarse = [
        torch.nn.functional.adaptive_avg_pool2d(f, (2, 3))
        for f in (out.decoded, on_grid(shown.teacher.decoded, out.decoded))
    ]
    assert found == pytest.approx(dense_relations.cirkd_mini_batch(*coarse).item(), rel=1e-4)


def test_a_ramp_grows_in_training_only_and_goes_on_from_a_checkpoint():
    ramp = Ramp(4)
    assert [ramp() for _ in range(3)] == [0, 0.25, 0.5]
    again = Ramp(4)
    again.load_state_dict(ramp.state_dict())
    assert again.eval()() == 0.75 == again()
    assert Ramp(0)() == 1
    assert loss_of(build("dkd", warm_up=10), batch("dkd")) < loss_of(build("dkd"), batch("dkd"))


def test_lix_is_its_two_terms():
    found, out, taught, shown = distilled("lix", weight_logit=2.0, weight_feature=3.0)
    logit = lix.dwld(out.logits, taught, shown.label, discrepancy).loss
    feature = arfd(out.maps, shown.teacher.maps, most=256)
    assert found == pytest.approx((2 * logit + 3 * feature).item(), rel=1e-4)


@pytest.mark.parametrize("fusion", ["intermediate", "late"])
def test_lixs_teacher_sees_both_modalities(fusion):
    shown, other = batch("lix", fusion=fusion), batch("lix", turn=1, fusion=fusion)
    assert not torch.allclose(shown.teacher.logits, other.teacher.logits), "the source"
    alone = teacher("both", fusion).outputs(shown.source, torch.zeros_like(shown.image)).logits
    assert not torch.allclose(shown.teacher.logits, alone), "the target"
    assert torch.isfinite(loss_of(build("lix", fusion=fusion), shown))


@pytest.mark.parametrize("fusion", ["intermediate", "late"])
def test_to_a_fused_teacher_a_missing_modality_is_black(fusion):
    network, shown = teacher("both", fusion), batch("lix", fusion=fusion)
    black = torch.zeros_like
    with torch.no_grad():
        for given, filled in (
            ((shown.source, None), (shown.source, black(shown.image))),
            ((None, shown.image), (black(shown.source), shown.image)),
        ):
            one, two = network.outputs(*given), network.outputs(*filled)
            assert torch.equal(one.logits, two.logits)
            assert torch.equal(network(*given), network(*filled))
        alone = outputs_of(network, shown.source, shown.image, "target").logits
        assert torch.equal(alone, network.outputs(None, shown.image).logits)
        assert torch.equal(alone, outputs_of(network, shown.source.flip(0), shown.image, "target").logits)
    with pytest.raises(UsageError, match="no modality is given"):
        network.outputs(None, None)


@pytest.mark.parametrize("level", ["pixel", "element"])
def test_lixs_learned_controller_moves_towards_what_the_student_does_worst(level):
    model, shown = build("lix", controller="learned", level=level, weight_feature=0.0), batch("lix")
    before = model(shown)
    plain = build("lix", controller="dkd", weight_feature=0.0)(shown)
    assert before["logit"].item() == pytest.approx(plain["logit"].item(), rel=1e-4), "it starts with weights of 1"
    before["loss"].backward()
    with torch.no_grad():
        for p in model.weigh.parameters():
            assert p.grad.abs().sum() > 0
            p -= 10 * p.grad
    assert model(shown)["logit"] > before["logit"], "a step that lowers its objective raises the student's loss"


@pytest.mark.parametrize("recalibration", ["self_teacher", "self_both", "cross"])
@pytest.mark.parametrize("bandwidth", [0.0, 3.0])
def test_lixs_bandwidth_is_learned_where_it_is_asked_for(recalibration, bandwidth):
    model = build("lix", recalibration=recalibration, bandwidth=bandwidth, learn_bandwidth=True)
    assert model.spread().item() == pytest.approx(bandwidth or 1.0)
    model(batch("lix"))["loss"].backward()
    assert model.spread.raw.grad.abs() > 0
    assert (model.queries is not None) == (recalibration == "cross")
    with pytest.raises(UsageError, match="recalibration=none has no bandwidth to learn"):
        build("lix", recalibration="none", learn_bandwidth=True)


def test_csk_net_is_the_objective_of_its_branches():
    model, shown = build("csk-net", contrast=0.0, kd=2.0), batch("csk-net")
    out = model(shown)
    found = build("csk-net", contrast=0.0).student.branches(shown.source, shown.image)
    taught = on_grid(shown.teacher.logits, found.logits["source"])
    expected = csknet_loss(found.logits, shown.label, taught, lam_kd=2.0)
    assert out["loss"].item() == pytest.approx(expected.loss.item(), rel=1e-5)
    each = sum(segmentation_loss(z, shown.label).item() for z in found.logits.values())
    assert out["task"].item() == pytest.approx(each, rel=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"channels": "none", "columns": 0},
        {"channels": "index"},
        {"channels": "compare", "channel_value": 0.3},
        {"channels": "none", "separate_norms": False},
        {"unit": "gmu", "pairs": "cross"},
        {"unit": "mean", "sparsity": 2e-4},
        {"exchange_probability": 0.5},
    ],
)
def test_csk_nets_options_are_of_its_network_and_loss(options):
    model = build("csk-net", **options)
    student = model.student
    separate = any(isinstance(m, ModalBatchNorm) for m in student.encoder.modules())
    assert separate == options.get("separate_norms", True)
    assert (student.exchange.channels is None) == (options.get("channels") == "none")
    out = model(batch("csk-net"))
    assert torch.isfinite(out["loss"])
    if "sparsity" in options:
        assert out["loss"] > model(batch("csk-net"))["task"]
    if options.get("channels") == "index":
        assert all(share == (0.5, 0.5) for share in student.exchanged().values())


def test_what_begins_with_a_share_of_a_training_does_so_in_training_and_goes_on_from_a_checkpoint():
    clock = Clock()
    assert (clock.past(0.9), clock.past(1.0)) == (True, False), "of unknown length"
    clock.total = 4
    past = []
    for _ in range(4):
        past.append((clock.past(0.0), clock.past(0.5), clock.past(1.0)))
        clock.tick()
    assert past == [(True, False, False)] * 2 + [(True, True, False)] * 2
    again = Clock().eval()
    again.load_state_dict(clock.state_dict())
    again.tick()
    assert again.done == 4


def test_csk_nets_exchange_and_contrast_begin_and_its_norms_freeze_when_they_are_told_to():
    model = build("csk-net", exchange_from=0.5, contrast_from=0.25, freeze_norms_from=0.75)
    model.clock.total, shown = 4, batch("csk-net")
    norm = next(m for m in model.student.modules() if isinstance(m, torch.nn.BatchNorm2d))
    seen = []
    for _ in range(4):
        before = norm.running_mean.clone()
        parts = model.train()(shown)
        moved = not torch.equal(before, norm.running_mean)
        seen.append((model.student._exchanges_now(), bool(parts["contrast"] > 0), moved))
    assert seen == [(False, False, True), (False, True, True), (True, True, True), (True, True, False)]
    assert all(p.grad is None for p in norm.parameters())
    parts["loss"].backward()
    assert norm.weight.grad.abs().sum() > 0, "the statistics are frozen, not the weights"


def test_pixel_contrast_begins_after_an_eighth_of_a_training_as_published():
    model, shown = build("pixel-contrast"), batch("pixel-contrast")
    model.clock.total = 16
    assert [bool(model(shown)["distil"] > 0) for _ in range(4)] == [False, False, True, True]
    assert model.eval()(shown)["distil"] > 0
    assert model.clock.done == 4


def test_csk_nets_scales_have_no_weight_decay_and_other_norms_have_what_the_recipe_says():
    recipe = Recipe(
        optimiser="sgd", lr=0.1, weight_decay=0.1, epochs=1, batch=2, schedule="constant", augmentation="none"
    )  # fmt: skip
    for options, spared in (({}, True), ({"channels": "none"}, False)):
        model = build("csk-net", **options)
        groups = make_optimiser(model, recipe).param_groups
        free = {id(p) for group in groups if group["weight_decay"] == 0 for p in group["params"]}
        sites = [norm["target"].weight for norm in exchange_sites(model.student.encoder).values()]
        assert sites
        assert all((id(p) in free) == spared for p in sites)
        assert len(free) == 2 * len(sites) * spared


def test_csk_net_made_ready_for_one_modality_has_its_own_statistics_and_leaves_the_student_as_it_was():
    method, student = methods.get("csk-net"), build("csk-net").student.eval()
    before = copy.deepcopy(student.state_dict())
    target = batch("csk-net").image
    plain, asked = (method.parse_options("csk-net", {"recalibrate": on}) for on in (False, True))
    assert method.ready(student, "target", plain, lambda name: [target]) is student
    assert method.ready(student, "both", asked, lambda name: [target]) is student
    alone = method.ready(student, "target", asked, {"target": [target]}.__getitem__)
    first = next(m for m in alone.encoder.modules() if isinstance(m, ModalBatchNorm))
    assert (first["target"].running_mean != 0).any()
    assert (first["source"].running_mean == 0).all()
    assert all(torch.equal(a, b) for a, b in zip(before.values(), student.state_dict().values(), strict=True))
    assert method.facts(student, "target") == {}
    assert set(method.facts(student, "both")["exchanged"]) == set(exchange_sites(student.encoder))


def test_csk_net_refuses_what_does_not_go_together():
    method = methods.get("csk-net")
    with pytest.raises(UsageError, match="separate_norms=false leaves no scales to exchange channels by"):
        method.parse_options("csk-net", {"separate_norms": "false"})
    with pytest.raises(UsageError, match="sparsity is of the scales"):
        method.parse_options("csk-net", {"channels": "none", "sparsity": 1.0})
    with toy_networks(), pytest.raises(UsageError, match="images of 3 and 4 channels do not fit"):
        method.build_student(STUDENT, (3, 4), len(CLASSES), SIZE, method.parse_options("csk-net", {}))
    assert min(CHANNELS) == 1


def test_cmcd_on_pixels_sees_the_teacher_from_its_mean():
    shown = batch("dense-cmc")
    moved = copy.deepcopy(shown)
    moved.teacher.decoded = moved.teacher.decoded + 5
    for name in ("dense-cmc", "dense-cmd"):
        model = build(name)
        assert loss_of(model, shown).item() == pytest.approx(loss_of(model, moved).item(), rel=1e-3)
        raw = build(name, centre_teacher=False)
        assert abs(loss_of(raw, shown) - loss_of(raw, moved)) > 0.01


def test_cmcd_on_pixels_has_the_options_of_its_models():
    assert methods.get("dense-cmd").parse_options("dense-cmd", {"form": "intra"}).include_self is False
    assert methods.get("dense-cmd").parse_options("dense-cmd", {}).include_self is True
    model = build("dense-cmc", learn_tau=True, by_label=True)
    out = model(batch("dense-cmc"))
    assert out["tau"].item() == pytest.approx(0.1)
    out["loss"].backward()
    assert model.tau.log_scale.grad.abs() > 0
    assert loss_of(build("dense-cmc"), batch("dense-cmc")) != loss_of(
        build("dense-cmc", by_label=True), batch("dense-cmc")
    )
