"""Blender's side of `rooms`: builds and renders the scenes that it is told. Run by `_rooms_render`, not imported.

`python -I -S _rooms_blender.py FOLDER` with the folder that holds the package `bpy`: a process of its own, because bpy
is made for one version of Python and for an older numpy than the rest needs; so this file uses neither numpy nor
anything of the project. It says "ready"; then each line of the standard input is a scene (JSON, see
`_rooms_render.order`), and is answered with a line: "done", or what went wrong. Pixels go to two files of float32
[height, width, 4], rows from below: `OUT.colour` (linear light) and `OUT.facts` (metres along the optical axis, number
of the instance).
"""

import array
import importlib
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

bpy: Any = None
_TEXTURE = 256
"""Pixels: larger ones are made smaller, as pictures of 160 × 120 show no more."""
_CLEAR = 0.02
"""Opacity below which something is looked through, not at (the empty parts of leaves); glass is looked at."""


def start(folder: str) -> None:
    """Load Blender, its settings those of the factory."""
    global bpy
    sys.path.insert(0, folder)
    bpy = importlib.import_module("bpy")
    addon_utils = importlib.import_module("addon_utils")  # which bpy makes known
    addon_utils.enable("cycles", default_set=True)
    bpy.ops.wm.read_factory_settings(use_empty=True)


def render(task: dict[str, Any], meshes: dict[str, Any]) -> None:
    """One scene; `meshes` keeps models from scene to scene."""
    scene = bpy.context.scene
    _settings(scene, task)
    _outputs(scene, task["out"])
    for box in task["boxes"]:
        _box(scene, box)
    for thing in task["things"]:
        if thing["file"] not in meshes:
            meshes[thing["file"]] = _model(thing)
        _put(scene, meshes[thing["file"]], thing["instance"], thing["at"], thing["yaw"])
    for light in task["lights"]:
        _light(scene, light)
    _camera(scene, task["camera"])
    bpy.ops.render.render()
    _keep(task["out"])
    _clear(scene)


def _settings(scene: Any, task: dict[str, Any]) -> None:
    """One thread and a seed of the scene's own: what is rendered does not depend on the cores there are."""
    drawn, cycles = scene.render, scene.cycles
    drawn.engine, cycles.device = "CYCLES", "CPU"
    drawn.resolution_x, drawn.resolution_y, drawn.resolution_percentage = task["width"], task["height"], 100
    drawn.threads_mode, drawn.threads = "FIXED", 1
    cycles.seed, cycles.samples, cycles.use_adaptive_sampling = task["seed"], task["samples"], False
    cycles.max_bounces, cycles.transparent_max_bounces = task["bounces"], 8
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect = 4
    cycles.pixel_filter_type, cycles.filter_width = "BLACKMAN_HARRIS", 1.2
    cycles.use_denoising, cycles.denoiser = True, "OPENIMAGEDENOISE"
    cycles.denoising_quality, cycles.denoising_input_passes = "FAST", "RGB_ALBEDO_NORMAL"
    layer = scene.view_layers[0]
    layer.use_pass_z = layer.use_pass_object_index = True
    layer.pass_alpha_threshold = _CLEAR


def _outputs(scene: Any, out: str) -> None:
    """Two files of floats: the picture, and depth with instances as the red and green of another."""
    tree = bpy.data.node_groups.new("out", "CompositorNodeTree")
    scene.compositing_node_group = tree
    layers = tree.nodes.new("CompositorNodeRLayers")
    facts = tree.nodes.new("CompositorNodeCombineColor")
    tree.links.new(layers.outputs["Depth"], facts.inputs[0])
    tree.links.new(layers.outputs["Object Index"], facts.inputs[1])
    for name, socket in (("colour", layers.outputs["Image"]), ("facts", facts.outputs[0])):
        file = tree.nodes.new("CompositorNodeOutputFile")
        file.directory, file.file_name = str(Path(out).parent), f"{Path(out).name}-"
        file.format.media_type, file.format.file_format = "IMAGE", "OPEN_EXR"
        file.format.color_depth, file.format.exr_codec = "32", "NONE"
        file.file_output_items.new("RGBA", name)
        tree.links.new(socket, file.inputs[0])


def _keep(out: str) -> None:
    """The files of floats as nothing but floats."""
    for name in ("colour", "facts"):
        file = Path(f"{out}-{name}.exr")
        image = bpy.data.images.load(str(file))
        pixels = array.array("f", bytes(4 * len(image.pixels)))
        image.pixels.foreach_get(pixels)
        Path(f"{out}.{name}").write_bytes(pixels.tobytes())
        bpy.data.images.remove(image)
        file.unlink()


def _clear(scene: Any) -> None:
    """All that belongs to one scene; models have a user that is none, and stay."""
    for thing in list(bpy.data.objects):
        bpy.data.objects.remove(thing)
    bpy.data.node_groups.remove(scene.compositing_node_group)
    bpy.data.orphans_purge(do_recursive=True)


def _put(scene: Any, mesh: Any, instance: int, at: tuple[float, ...] = (0, 0, 0), yaw: float = 0) -> None:
    thing = bpy.data.objects.new("thing", mesh)
    thing.location, thing.rotation_euler, thing.pass_index = at, (0, 0, yaw), instance
    scene.collection.objects.link(thing)


def _box(scene: Any, box: dict[str, Any]) -> None:
    """low, high: its corners; surface: what is on it; glow: of a surface that shines (W/m²)."""
    (x0, y0, z0), (x1, y1, z1) = box["low"], box["high"]
    corners = [(x, y, z) for x in (x0, x1) for y in (y0, y1) for z in (z0, z1)]
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    mesh = bpy.data.meshes.new("box")
    mesh.from_pydata(corners, [], sides)
    mesh.materials.append(_material(box["surface"], box.get("upright", False), box.get("glow", 0.0)))
    _put(scene, mesh, box["instance"])


def _material(surface: dict[str, Any], upright: bool, glow: float) -> Any:
    """A pattern of two colours; upright: seen from the side, as walls are, else from above."""
    material = bpy.data.materials.new("surface")
    material.use_nodes = True
    tree = material.node_tree
    shader = tree.nodes["Principled BSDF"]
    shader.inputs["Roughness"].default_value = surface["roughness"]
    first, second = ((*colour, 1.0) for colour in surface["colours"])
    shader.inputs["Base Color"].default_value = first
    if glow:
        shader.inputs["Emission Color"].default_value = first
        shader.inputs["Emission Strength"].default_value = glow
    elif surface["pattern"] != "plain":
        tree.links.new(_pattern(tree, surface, first, second, _flat(tree, upright)), shader.inputs["Base Color"])
    return material


def _flat(tree: Any, upright: bool) -> Any:
    """Metres along a surface: (x, y) of what lies, (x + y, z) of what stands along an axis."""
    place = tree.nodes.new("ShaderNodeNewGeometry").outputs["Position"]
    if not upright:
        return place
    parts, along, flat = (tree.nodes.new(f"ShaderNode{name}") for name in ("SeparateXYZ", "Math", "CombineXYZ"))
    tree.links.new(place, parts.inputs[0])
    for i in (0, 1):
        tree.links.new(parts.outputs[i], along.inputs[i])
    tree.links.new(along.outputs[0], flat.inputs[0])
    tree.links.new(parts.outputs[2], flat.inputs[1])
    return flat.outputs[0]


def _pattern(tree: Any, surface: dict[str, Any], first: Any, second: Any, at: Any) -> Any:
    """The colour of tiles, planks, stripes or a fleecy carpet; size: metres of one of them."""
    kind, size = surface["pattern"], surface["size"]
    if kind in ("tiles", "planks"):
        brick = tree.nodes.new("ShaderNodeTexBrick")
        brick.offset = 0.0 if kind == "tiles" else 0.4
        wide, high, gap = (size, size, 0.012) if kind == "tiles" else (6 * size, size, 0.003)
        values = {"Color1": first, "Color2": second, "Scale": 1.0, "Mortar Size": gap, "Brick Width": wide}
        values |= {"Row Height": high, "Mortar": (*(0.5 * c for c in first[:3]), 1.0)}
        for name, value in values.items():
            brick.inputs[name].default_value = value
        tree.links.new(at, brick.inputs["Vector"])
        return brick.outputs["Color"]
    wave = tree.nodes.new("ShaderNodeTexWave" if kind == "stripes" else "ShaderNodeTexNoise")
    wave.inputs["Scale"].default_value = 0.31416 / size if kind == "stripes" else 1 / size
    tree.links.new(at, wave.inputs["Vector"])
    mix = tree.nodes.new("ShaderNodeMix")
    mix.data_type = "RGBA"
    mix.inputs["A"].default_value = mix.inputs[6].default_value = first
    mix.inputs[7].default_value = second
    tree.links.new(wave.outputs[1], mix.inputs["Factor"])
    return mix.outputs[2]


def _model(thing: dict[str, Any]) -> Any:
    """The mesh of an OBJ file, standing on the origin, its front to -y, scaled to its size in metres."""
    mathutils = importlib.import_module("mathutils")
    Matrix, Vector = mathutils.Matrix, mathutils.Vector

    bpy.ops.wm.obj_import(
        filepath=thing["file"], forward_axis="NEGATIVE_Z", up_axis="Y", use_split_objects=False, use_split_groups=False
    )
    parts = list(bpy.context.selected_objects)
    if len(parts) != 1 or parts[0].type != "MESH":
        raise ValueError(f"{Path(thing['file']).name} holds no single mesh")
    mesh = parts[0].data
    place = parts[0].matrix_world.copy()
    bpy.data.objects.remove(parts[0])
    if thing["turn"]:  # the catalogue's, given for y up
        upright = Matrix(((1, 0, 0), (0, 0, -1), (0, 1, 0)))
        rows = [thing["turn"][i : i + 3] for i in (0, 3, 6)]
        place = (upright @ Matrix(rows) @ upright.inverted()).to_4x4() @ place
    mesh.transform(place)
    points = array.array("f", bytes(12 * len(mesh.vertices)))
    mesh.vertices.foreach_get("co", points)
    low, high = ([end(points[i::3]) for i in range(3)] for end in (min, max))
    scale = [want / max(b - a, 1e-6) for want, a, b in zip(thing["size"], low, high, strict=True)]
    middle = Vector((-(low[0] + high[0]) / 2, -(low[1] + high[1]) / 2, -low[2]))
    mesh.transform(Matrix.Diagonal((*scale, 1)) @ Matrix.Translation(middle))
    for material in mesh.materials:
        if material is not None and material.node_tree is not None:
            _mend(material.node_tree)
    mesh.use_fake_user = True
    return mesh


def _mend(tree: Any) -> None:
    """What catalogues of old say of materials: pictures that are not there, lights, mirrors."""
    for node in list(tree.nodes):
        if node.type == "TEX_IMAGE":
            image = node.image
            if image is None or not min(image.size):
                tree.nodes.remove(node)
            elif max(image.size) > _TEXTURE:
                image.scale(*(max(1, round(side * _TEXTURE / max(image.size))) for side in image.size))
        elif node.type == "BSDF_PRINCIPLED":
            node.inputs["Emission Strength"].default_value = 0.0
            node.inputs["Transmission Weight"].default_value = 0.0
            node.inputs["Metallic"].default_value = min(0.5, node.inputs["Metallic"].default_value)
            node.inputs["Roughness"].default_value = max(0.3, node.inputs["Roughness"].default_value)
            node.inputs["Alpha"].default_value = max(0.3, node.inputs["Alpha"].default_value)


def _light(scene: Any, light: dict[str, Any]) -> None:
    """A square that shines down, `power` in W."""
    data = bpy.data.lights.new("light", "AREA")
    data.energy, data.size, data.color = light["power"], light["size"], light["colour"]
    lamp = bpy.data.objects.new("light", data)
    lamp.location = light["at"]
    scene.collection.objects.link(lamp)


def _camera(scene: Any, camera: dict[str, Any]) -> None:
    """fov: degrees from side to side."""
    mathutils = importlib.import_module("mathutils")

    data = bpy.data.cameras.new("camera")
    data.angle, data.clip_start = math.radians(camera["fov"]), 0.05
    seen = bpy.data.objects.new("camera", data)
    seen.location = camera["eye"]
    seen.rotation_euler = (mathutils.Vector(camera["target"]) - seen.location).to_track_quat("-Z", "Y").to_euler()
    scene.collection.objects.link(seen)
    scene.camera = seen


def main() -> None:
    """Blender prints to the standard output of the process: answers go to where that led before."""
    with os.fdopen(os.dup(1), "w") as told:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        start(sys.argv[1])
        print("ready", file=told, flush=True)
        meshes: dict[str, Any] = {}
        for line in sys.stdin:
            try:
                render(json.loads(line), meshes)
                print("done", file=told, flush=True)
            except Exception as error:
                print(
                    f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", file=told, flush=True
                )


if __name__ == "__main__":
    main()
