"""The class of each surface of TORCS' tracks, by the name of its texture: a table made by looking at every texture.

The tracks carry no labels. Their meshes name an object and a texture for each part, and artists reuse textures, so the
labels are noisy: a wall painted on a fence's texture is a fence. Names are compared in lower case, without ending and
without the `_n` and `_nmm` that say how TORCS filters them. A name in full goes before a pattern, a long pattern before
a short one.
"""

import re
from fnmatch import fnmatchcase
from functools import cache

CLASSES = ("sky", "road", "curb", "ground", "sand", "vegetation", "barrier", "building", "sign", "vehicle")
"""ground: grass, rock, snow, water. sand: gravel and dirt too. building: stands, bridges and tents too. sign: poles,
flags, start lights too."""
UNKNOWN = None
"""The class of what is not scored."""

TABLE = {
    "road": """
        asasphr asconcr asp asphalt* asphdots asphside concrete-patch cracked-asphalt gconcrete ole-concrete-*
        patched-* road road-* road[0-9]* roada-* roadc roaddk roaddt roadpark roadpe roadpgc roadpit4 roadpt roadsf
        rs rsroad stline tr-asphalt* tr-b-*-l1 tr-b-*-l1p tr-b-*-l2 tr-b-*-l2p tr-concrete* tr-road1*
    """,
    "curb": """
        border2m bordertile curb-* rmbl road03 roadpl rsa rsa01 rsa02 rsdot tr-curb-* trcurb?
    """,
    "ground": """
        border-grass-* border-gravel-e2 cliff* close-bush earth_and_grass geo-bw1 ggrass3 gras2b grass* ice newgrass
        rdgrtran rock-wall-e2 rock1-* rock3 rock4 rockg0 rockwall* snow* stone1 tr-grass* treewate water
        water_green2
    """,
    "sand": """
        assandr border-dirt dirt-* grassand grasssnd gravel* gsand newdirt* road-dirt sand* sand-* tr-dirt*
        tr-gravel tr-sand*
    """,
    "vegetation": """
        allborg-trees alltree arbor01 butree forest1-* grass-clump-arbor grass-m3-arbor rk_tree_* tree tree-*
        tree[0-9]* tree_* treebit* treebui1 treeg* treel* treeq* treesc* treetd tretrnk waterplants-arbor
    """,
    "barrier": """
        arb01 arb02 arbor-wood arbor2 armco* barg? barrier* bars_tree batree conc concrete-wall1 concrete_white
        concwall2 cwallpt* fence* fencwire_arbor flatspot-wall ggtree gntree gtirewall improveyou-wall megafuel-wall
        michigan-arbor mur2 murpub pitwb railtree strawbale-bw swall2 tire* tr-bar tr-bar-* tr-barrier*
        tr-stone-wall* tr-tirewall tr-wall* treefc wall wall-* wall2 xrw1*
    """,
    "building": """
        64pass* ambush-inn arbor_frame bar? barr1 blbdbk blda* bldg05_tree block* box1 brdg* brick01 bridgeplanks
        brique btowb building* cabin casa? casot? castle-arbor cmnt* concdal concdark concre concrete concrete0*
        concrete2 concretetile concretw concsh* conctp concwall f3base facade* fnceb garage* gftree girder_tree
        grdra_tree grtree gs* h15* h17* h21* h25* h26* h28* house* hus02 hytte01 lave* m40a mur43? obja* pad[0-9]*
        padwin? palaz* pass[0-9]* pdkka* pit-walls pitbld pitfacade? pitlite poutre* rax01 red_bridge roof* s463et
        s46por sbridge2 seats silo1-* spec spectator stage2 stairs* std steel01 stnd* tank tanker tarmac-wall-*
        tent* tileroof tntshd toilette toitcas tow1 towdisp3 tower_tree town-border-arbor tr-building* tr-house-*
        tr-spec trave? trees3 trib* wall11 wall14* wall4 walls* zpit zpit3
    """,
    "sign": """
        100 300 abtree advert-* back-sign betree blupole bridgead brtree catree chtree corkscrew_arbor dblogo dekk0?
        dist0? frri frtree g2tree gsdh gstree infomich ittree kilo lgt* light logo* magnmar mcn mob1duo mycast polea
        poutre2_arbor pylon* ref ruudskog_arbor sema0? sign* stlight texte1 time* torcs* trb_red_bridge turn*
        wirewood zbrid
    """,
    "vehicle": """
        01 02 alaubm audi0? bmw0? bus camper* car0? cars? clkdtm furgone lamaop lancia0? mase0? megafuel_trucktank
        opel0? rv? texwheel treerns? trkjum* truck* wheels6
    """,
}
NOT_SCORED = {
    "two classes in one texture: road and grass, road and snow": """
        asgrassr asphsand border-gravel-end-e2 border-gravel-start-e2 dirt-grass* gravel-end-e2
        gravel-start-e2 road-edge road-snow road02 road2snow road2snow-edge roadgras roadgrsd roadsand rroadgrs
        rsgras rssagr rssand sandt tr-asphalt-to-g-* tr-b-*-grass* tr-b-*-gravel* tr-b-*-sand* tr-g-to-asphalt-*
    """,
    "people: too few pixels to be a class": """
        crowd5 gbtree gctree gdtree getree gspatree obja24_arbor pdtree pep1 petree pftree pitppl ppl?_tree tentpep?
        topcrowd tree_eva treec3 treec4 treeuglies*
    """,
    "small parts of many things": """
        (null) alfablk asssem? camp crn? ferred fltblk hat isl1 iytree metala monstart pollol ra4brig5 rsa3 tagtntop
        tetree watree wheel
    """,
}
_ROAD = re.compile(r"(tk|xk)mn")
_FLAT = re.compile(r"(tk|xk)[lr]s|(t\d*|x)[lr]b|terr|ground")
_BESIDE = re.compile(r"(b\d*|br|x)[lr]t")
_WALLS = frozenset(("road", "ground", "sand", "building"))


@cache
def class_of(texture: str, part: str) -> str | None:
    """The class of an object named `part` with this texture; UNKNOWN where no one can tell.

    TORCS' track generator names what it makes: the lane itself is road whatever it is paved with, and what is upright
    beside it a barrier; concrete that lies flat is road too.
    """
    name, found = part.lower(), _listed(stem(texture))
    if _ROAD.match(name):
        return "road"
    if _BESIDE.match(name) and found in _WALLS:
        return "barrier"
    if _FLAT.match(name) and found == "building":
        return "road"
    return found


def stem(texture: str) -> str:
    """A texture's name as the table has it."""
    return re.sub(r"(_n|_nmm)?(\.[a-z]+)?$", "", texture.lower())


def listed(texture: str) -> bool:
    """Whether the table has a word on this texture."""
    return bool(_matching(stem(texture)))


def _listed(name: str) -> str | None:
    found = _matching(name)
    return max(found)[-1] or UNKNOWN if found else UNKNOWN


def _matching(name: str) -> list[tuple[bool, int, str]]:
    """(in full, length, class) of the table's entries for a name; "" is the class of what is not scored."""
    return [(entry == name, len(entry), said) for entry, said in _entries() if fnmatchcase(name, entry)]


@cache
def _entries() -> list[tuple[str, str]]:
    rows = [*((said, names) for said, names in TABLE.items()), *(("", names) for names in NOT_SCORED.values())]
    return [(entry, said) for said, names in rows for entry in names.split()]
