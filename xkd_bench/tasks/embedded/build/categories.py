"""Which emoji draws which QuickDraw category (by hand; categories without an honest counterpart are left out)."""

_TABLE = """
The Eiffel Tower:1F5FC, airplane:2708, alarm clock:23F0, ambulance:1F691, angel:1F47C, ant:1F41C, apple:1F34E,
arm:1F4AA, axe:1FA93, backpack:1F392, banana:1F34C, bandage:1FA79, baseball:26BE, basket:1F9FA, basketball:1F3C0,
bat:1F987, bathtub:1F6C1, beach:1F3D6, bear:1F43B, beard:1F9D4, bed:1F6CF, bee:1F41D, bicycle:1F6B2, bird:1F426,
birthday cake:1F382, blueberry:1FAD0, book:1F4D5, boomerang:1FA83, brain:1F9E0, bread:1F35E, bridge:1F309,
broccoli:1F966, broom:1F9F9, bucket:1FAA3, bus:1F68C, butterfly:1F98B, cactus:1F335, cake:1F370, calendar:1F4C5,
camel:1F42A, camera:1F4F7, campfire:1F525, candle:1F56F, canoe:1F6F6, car:1F697, carrot:1F955, castle:1F3F0,
cat:1F408, cell phone:1F4F1, cello:1F3BB, chair:1FA91, church:26EA, circle:1F534, clock:1F550, cloud:2601,
coffee cup:2615, compass:1F9ED, computer:1F5A5, cookie:1F36A, couch:1F6CB, cow:1F404, crab:1F980, crayon:1F58D,
crocodile:1F40A, crown:1F451, cruise ship:1F6F3, cup:1F375, diamond:1F48E, dog:1F415, dolphin:1F42C, donut:1F369,
door:1F6AA, dragon:1F409, drums:1F941, duck:1F986, dumbbell:1F3CB, ear:1F442, elephant:1F418, envelope:2709,
eye:1F441, eyeglasses:1F453, face:1F610, feather:1FAB6, finger:261D, firetruck:1F692, fish:1F41F, flamingo:1F9A9,
flashlight:1F526, flip flops:1FA74, flower:1F33B, flying saucer:1F6F8, foot:1F9B6, fork:1F374, frog:1F438,
frying pan:1F373, giraffe:1F992, golf club:26F3, grapes:1F347, grass:1F33E, guitar:1F3B8, hamburger:1F354,
hammer:1F528, hand:270B, harp:1FA89, hat:1F3A9, headphones:1F3A7, hedgehog:1F994, helicopter:1F681, helmet:26D1,
hockey stick:1F3D2, horse:1F40E, hospital:1F3E5, hot air balloon:1F388, hot dog:1F32D, hourglass:231B, house:1F3E0,
house plant:1FAB4, hurricane:1F300, ice cream:1F366, jacket:1F9E5, kangaroo:1F998, key:1F511, keyboard:2328,
knife:1F52A, ladder:1FA9C, lantern:1F3EE, laptop:1F4BB, leaf:1F343, leg:1F9B5, light bulb:1F4A1, lightning:26A1,
lion:1F981, lipstick:1F484, lobster:1F99E, lollipop:1F36D, mailbox:1F4EB, map:1F5FA, marker:1F58B, megaphone:1F4E3,
mermaid:1F9DC, microphone:1F3A4, monkey:1F412, moon:1F319, mosquito:1F99F, motorbike:1F3CD, mountain:26F0,
mouse:1F401, mouth:1F444, mug:1F37A, mushroom:1F344, necklace:1F4FF, nose:1F443, ocean:1F30A, octopus:1F419,
onion:1F9C5, owl:1F989, paintbrush:1F58C, palm tree:1F334, panda:1F43C, pants:1F456, paper clip:1F4CE,
parachute:1FA82, parrot:1F99C, peanut:1F95C, pear:1F350, peas:1FADB, pencil:270F, penguin:1F427, piano:1F3B9,
pickup truck:1F6FB, picture frame:1F5BC, pig:1F416, pineapple:1F34D, pizza:1F355, police car:1F693, potato:1F954,
purse:1F45C, rabbit:1F407, raccoon:1F99D, radio:1F4FB, rain:1F327, rainbow:1F308, rhinoceros:1F98F,
roller coaster:1F3A2, rollerskates:1F6FC, sailboat:26F5, sandwich:1F96A, saw:1FA9A, saxophone:1F3B7,
school bus:1F68D, scissors:2702, scorpion:1F982, screwdriver:1FA9B, sea turtle:1F422, shark:1F988, sheep:1F411,
shoe:1F45F, shorts:1FA73, shovel:1FA8F, skateboard:1F6F9, skull:1F480, skyscraper:1F3E2, smiley face:263A,
snail:1F40C, snake:1F40D, snorkel:1F93F, snowflake:2744, snowman:2603, soccer ball:26BD, sock:1F9E6,
speedboat:1F6A4, spider:1F577, spoon:1F944, square:2B1B, squiggle:3030, squirrel:1F43F, star:2B50, steak:1F969,
stethoscope:1FA7A, stop sign:1F6D1, strawberry:1F353, suitcase:1F9F3, sun:2600, swan:1F9A2, sword:1F5E1,
syringe:1F489, t-shirt:1F455, teapot:1FAD6, teddy-bear:1F9F8, telephone:260E, television:1F4FA,
tennis racquet:1F3BE, tent:26FA, tiger:1F405, toilet:1F6BD, tooth:1F9B7, toothbrush:1FAA5, tornado:1F32A,
tractor:1F69C, traffic light:1F6A6, train:1F682, tree:1F333, triangle:1F53A, trombone:1FA8A, truck:1F69A,
trumpet:1F3BA, umbrella:2602, underwear:1FA72, van:1F690, vase:1F3FA, violin:1F3BB, watermelon:1F349,
waterslide:1F6DD, whale:1F40B, wheel:1F6DE, wine bottle:1F37E, wine glass:1F377, wristwatch:231A, yoga:1F9D8,
zebra:1F993
"""

CATEGORIES: dict[str, str] = dict(entry.strip().split(":") for entry in _TABLE.replace("\n", " ").split(","))
"""Concept code by category name."""

SAME_SUBJECT: list[tuple[str, ...]] = [
    ("cup", "mug", "coffee cup"),
    ("cake", "birthday cake"),
    ("face", "smiley face"),
    ("computer", "laptop"),
    ("truck", "pickup truck", "firetruck"),
    ("car", "police car"),
    ("clock", "alarm clock", "wristwatch"),
    ("guitar", "violin", "cello"),
    ("finger", "hand"),
]
"""Categories that people draw alike, beyond those whose emoji are near-duplicates."""
