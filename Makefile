PYTHON ?= python3
BIN := .venv/bin

# Pictures to train on, where trainings are kept, and what they are exported to.
DATA ?= ../shared/data
MODELS ?= models
BUNDLE ?= lpr_core/bundles/default
MACHINE ?= unknown

.PHONY: demo test test-long servers lint docs reference notebook samples screenshots pins bundle \
    characters reader detector clean

demo: .venv/runtime
	rm -rf demo-output
	$(BIN)/platebeam read samples --truth samples/truth.csv --output demo-output --show-reads 30

test: .venv/development servers
	$(BIN)/python -m pytest -n auto

test-long: .venv/development servers
	$(BIN)/python -m pytest -n auto -m long

lint: .venv/development
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: .venv/development build/pages
	$(BIN)/python -m mkdocs build --strict --quiet

# What the site is made of; links only.
build/pages: Makefile
	mkdir -p $@
	ln -sfn $(addprefix $(CURDIR)/,README.md CONTRIBUTING.md CHANGELOG.md docs deploy samples \
	    lpr_core pipelines model_training benchmarks) $@
	touch $@

# What docs/tables.md says of columns, from their declarations.
reference: .venv/development
	$(BIN)/python -m pipelines.schema_reference docs/tables.md

# What the notebook shows when it is opened: some minutes.
notebook: .venv/development
	rm -rf docs/models
	$(BIN)/jupyter nbconvert --to=notebook --execute --inplace \
	    --ExecutePreprocessor.record_timing=False \
	    --ExecutePreprocessor.extra_arguments=--IPKernelApp.capture_fd_output=False \
	    docs/train_characters.ipynb

samples: .venv/development
	$(BIN)/platebeam generate samples --output samples --seed 7

# The report's pictures in docs/, in Debian's Chromium.
screenshots: .venv/development
	$(BIN)/python benchmarks/report_page.py --screenshots docs

# The versions in the image of deploy/dataflow: the newest that setup.py allows today.
PINS = deploy/dataflow/requirements.txt
pins:
	$(PYTHON) -m venv --clear .venv/pins
	.venv/pins/bin/pip install --quiet --disable-pip-version-check --upgrade '.[gcp]' setuptools
	(grep '^#' $(PINS); .venv/pins/bin/pip freeze --all --exclude pip --exclude platebeam) \
	    > .venv/pins.txt
	mv .venv/pins.txt $(PINS)

# Everything of the default bundle, some hours on two cores (docs/training.md). What was stopped goes
# on where it was. KERAS_BACKEND=torch trains on a CPU in half the time; the export is TensorFlow's.
bundle: characters reader detector
	KERAS_BACKEND=tensorflow $(BIN)/platebeam export $(MODELS)/characters $(MODELS)/reader \
	    $(MODELS)/detector --output $(BUNDLE) --name default --licence AGPL-3.0 \
	    --machine '$(MACHINE)' --report $(DATA)/characters/val $(DATA)/characters_br

characters: .venv/development
	$(BIN)/platebeam train characters --resume --output $(MODELS)/characters --seed 1 \
	    --data $(DATA)/characters_plates=AGPL-3.0 $(DATA)/characters_cn=MIT \
	    $(DATA)/characters/train=GPL-3.0 --rendered 120000 --non-characters 16000 --augment \
	    --epochs 6 --batch-size 64 --learning-rate 0.002 --schedule cosine

READER_CROPS = --data $(DATA)/crops_us=AGPL-3.0 $(DATA)/crops_br=AGPL-3.0 \
	    $(DATA)/crops_eu_two_line=AGPL-3.0 $(DATA)/crops_cn=Apache-2.0 \
	    $(DATA)/crops_eu_unlabelled=AGPL-3.0 --workers 2
READER_DATA = $(READER_CROPS) --rendered 184000 --seed 11 --cache $(MODELS)/crops

# Four times: the first, which knows rendered plates alone, votes on machines' labels; what the second
# knows, the third learns to tell in texts that no plate has; the last sees plates rendered anew.
reader: .venv/development
	$(BIN)/platebeam train reader --resume --output $(MODELS)/reader-rendered --rendered 60000 \
	    --workers 2 --seed 11 --cache $(MODELS)/crops --epochs 20 --epoch-size 12800
	$(BIN)/platebeam train reader --resume --output $(MODELS)/reader-first $(READER_DATA) \
	    --respelled 0 --epochs 44
	$(BIN)/platebeam train reader --resume --output $(MODELS)/reader-third $(READER_DATA) \
	    --third-vote $(MODELS)/reader-rendered/best.keras \
	    --start $(MODELS)/reader-first/best.keras --easy-epochs 0 --real-share 0.4 \
	    --learning-rate 0.0014 --epochs 17 --blended 0.67
	$(BIN)/platebeam train reader --resume --output $(MODELS)/reader $(READER_CROPS) \
	    --rendered 200000 --seed 12 --cache $(MODELS)/crops-more \
	    --third-vote $(MODELS)/reader-third/best.keras \
	    --start $(MODELS)/reader-third/best.keras --easy-epochs 0 --real-share 0.4 \
	    --learning-rate 0.0005 --epochs 18 --blended 0.67

DETECTOR_DATA = --backgrounds $(DATA)/boxes_eu=MIT $(DATA)/negatives=AGPL-3.0 \
	    --plates $(DATA)/crops_us=AGPL-3.0 $(DATA)/crops_br:0.05=AGPL-3.0 \
	    $(DATA)/crops_eu_two_line=AGPL-3.0 \
	    --loose-plates $(DATA)/crops_cn=Apache-2.0 $(DATA)/crops_eu_unlabelled=AGPL-3.0 \
	    --hold-out '*/boxes_eu/valid/*' '*/negatives/UMD_*' '*/negatives/matt*' \
	    '*/negatives/neg-0*' '*/negatives/youtube_kansascity*' '*/negatives/sbowl*' \
	    '*/crops_us/t*' '*/crops_br/*_B*' '*/crops_br/*_D*' '*/crops_eu_two_line/*_f_*'

# Four times: what each takes for plates in pictures without any, the next learns not to; the last
# two have three times as many rendered things to learn from, each its own.
detector: .venv/development
	$(BIN)/platebeam train detector --resume --output $(MODELS)/detector-first $(DETECTOR_DATA) \
	    --epochs 10 --pictures 8000 --batch-size 16 --learning-rate 0.003 --validation 320
	$(BIN)/platebeam train detector --resume --output $(MODELS)/detector-second $(DETECTOR_DATA) \
	    --epochs 18 --pictures 8000 --batch-size 16 --learning-rate 0.002 --validation 320 \
	    --seed 1 --weights $(MODELS)/detector-first/best.keras
	$(BIN)/platebeam train detector --resume --output $(MODELS)/detector-third $(DETECTOR_DATA) \
	    --epochs 20 --pictures 8000 --batch-size 16 --learning-rate 0.002 --validation 320 \
	    --seed 2 --rendered 9000 --cars 1500 --decoys 5000 \
	    --weights $(MODELS)/detector-second/best.keras
	$(BIN)/platebeam train detector --resume --output $(MODELS)/detector $(DETECTOR_DATA) \
	    --epochs 14 --pictures 8000 --batch-size 16 --learning-rate 0.0015 --validation 320 \
	    --seed 3 --rendered 9000 --cars 1500 --decoys 5000 \
	    --weights $(MODELS)/detector-third/best.keras

clean:
	rm -rf .venv build *.egg-info demo-output

.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/runtime: setup.py | .venv/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

# The object stores that the tests run, in an environment of their own: they and the drivers pin
# other versions of the same libraries.
servers: .venv/servers/installed

.venv/servers/installed: Makefile
	$(PYTHON) -m venv .venv/servers
	.venv/servers/bin/pip install --quiet --disable-pip-version-check \
	    'moto[server]==5.2.5' gcp-storage-emulator==2026.7.19
	touch $@

.venv/development: setup.py | .venv/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[train,dev]'
	touch $@ .venv/runtime
