"""The names in the world: topics with their words, countries with their clocks and languages, kinds of viewers."""

from dataclasses import dataclass

TOPICS: dict[str, tuple[str, ...]] = {
    "Cooking": ("Sourdough", "Ramen", "Risotto", "Curry", "Dumplings", "Cheesecake", "Knife Skills", "Tacos"),
    "Chess": ("Sicilian Defence", "Queen's Gambit", "Endgame", "Blitz", "Rook Sacrifice", "Checkmate", "London System", "Fork"),
    "Space": ("Mars Rover", "Black Hole", "Moon Landing", "Saturn's Rings", "Telescope", "Comet", "Rocket Launch", "Exoplanet"),
    "Football": ("Free Kick", "Penalty Shootout", "Goalkeeper", "Transfer", "Derby", "Offside", "Counter-Attack", "Midfield"),
    "Guitar": ("Fingerstyle", "Blues Lick", "Barre Chords", "Pedalboard", "Flamenco", "Solo", "Strumming", "Telecaster"),
    "Gardening": ("Tomatoes", "Compost", "Raised Beds", "Roses", "Pruning", "Seedlings", "Bonsai", "Greenhouse"),
    "Programming": ("Python", "Rust", "Compiler", "Debugging", "Type System", "Database", "Web Server", "Algorithm"),
    "History": ("Roman Empire", "Vikings", "Silk Road", "Ancient Egypt", "Cold War", "Samurai", "Renaissance", "Castles"),
    "Makeup": ("Eyeliner", "Foundation", "Contour", "Lip Stain", "Skin Prep", "Smoky Eye", "Brush Set", "Blush"),
    "Travel": ("Kyoto", "Patagonia", "Night Train", "Lisbon", "Street Food", "Island Hopping", "Backpacking", "Iceland"),
    "Fitness": ("Deadlift", "Mobility", "Push-Ups", "Marathon", "Kettlebell", "Core Workout", "Stretching", "Home Gym"),
    "Woodworking": ("Dovetail", "Workbench", "Hand Plane", "Chisel", "Oak Table", "Lathe", "Joinery", "Bookshelf"),
    "Gaming": ("Boss Fight", "Speedrun", "Open World", "Indie Game", "Crafting", "Ranked Match", "Level Design", "Easter Eggs"),
    "Movies": ("Plot Twist", "Director's Cut", "Trailer", "Soundtrack", "Long Take", "Villain", "Film Noir", "Ending"),
    "Physics": ("Quantum Spin", "Pendulum", "Entropy", "Magnetism", "Relativity", "Double Slit", "Gravity", "Superfluid"),
    "Cats": ("Kitten", "Tabby", "Cardboard Box", "Zoomies", "Purring", "Rescue Cat", "Laser Pointer", "Cat Tree"),
    "Cars": ("Engine Swap", "Rally", "Electric Car", "Restoration", "Turbo", "Track Day", "Suspension", "Classic Coupe"),
    "Painting": ("Watercolour", "Portrait", "Palette", "Gouache", "Landscape", "Brushwork", "Still Life", "Oil Glaze"),
    "Economics": ("Inflation", "Game Theory", "Housing", "Trade", "Interest Rates", "Auction", "Supply Chain", "Pensions"),
    "Photography": ("Portrait", "Long Exposure", "Macro", "Film Camera", "Street Photo", "Composition", "Darkroom", "Lens"),
    "Camping": ("Campfire", "Tent", "Wild Camp", "Bushcraft", "Trail Stove", "Hammock", "Canoe Trip", "Winter Camp"),
    "Basketball": ("Crossover", "Three-Pointer", "Playoffs", "Dunk", "Pick and Roll", "Rookie", "Buzzer Beater", "Rebound"),
    "Languages": ("Spanish", "Japanese", "Pronunciation", "Grammar", "Vocabulary", "Polyglot", "Accents", "Etymology"),
    "Comedy": ("Sketch", "Stand-Up", "Improv", "Parody", "Prank", "Bloopers", "Roast", "Sitcom"),
}  # fmt: skip
"""Topic → words that appear in its titles."""


@dataclass(frozen=True)
class Country:
    """Where viewers live."""

    code: str
    language: str
    utc_offset_h: float
    share: float
    """Of viewers."""


COUNTRIES = (
    Country("US", "en", -6.0, 0.32),
    Country("IN", "hi", 5.5, 0.16),
    Country("BR", "pt", -3.0, 0.12),
    Country("GB", "en", 0.0, 0.12),
    Country("DE", "de", 1.0, 0.08),
    Country("FR", "fr", 1.0, 0.06),
    Country("MX", "es", -6.0, 0.08),
    Country("JP", "ja", 9.0, 0.06),
)

LANGUAGES = ("en", "hi", "pt", "de", "fr", "es", "ja")
ENGLISH = 0
VIDEO_LANGUAGE_SHARES = (0.62, 0.11, 0.08, 0.06, 0.04, 0.05, 0.04)

AGE_BANDS = ("under 18", "18-24", "25-34", "35-44", "45-49", "50-55", "56+")
AGE_SHARES = (0.12, 0.24, 0.25, 0.17, 0.08, 0.06, 0.08)
GENDERS = ("female", "male", "unknown")
GENDER_SHARES = (0.46, 0.47, 0.07)
DEVICES = ("phone", "desktop", "tablet", "tv")
DEVICE_SHARES = (0.6, 0.22, 0.08, 0.1)
SEGMENTS = ("casual", "regular", "heavy")
