#!/bin/sh
# One rank of `nibble eval` over many machines: evaluates its shard of the windows into DIRECTORY/shard-I.json.
#   scripts/cluster/eval.sh DIRECTORY MODEL... --text FILE [options of nibble eval]
# Started by
#   mpirun -n 64 scripts/cluster/eval.sh out smol.nib smol-q4.nib --text wiki.txt          MPI: one process a rank
#   sbatch --array=0-63 scripts/cluster/eval.sbatch out smol.nib smol-q4.nib --text wiki.txt       a Slurm array
# then, anywhere that sees the directory: nibble merge out/shard-*.json --json report.json
# A rank that is started again goes on where it was (--state), and does nothing where its shard is done. NIBBLE: the
# program. Ranks share nothing but the directory.
set -eu
[ $# -ge 2 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
rank=${SLURM_ARRAY_TASK_ID-${OMPI_COMM_WORLD_RANK-${PMI_RANK-${SLURM_PROCID-}}}}
ranks=${SLURM_ARRAY_TASK_COUNT-${OMPI_COMM_WORLD_SIZE-${PMI_SIZE-${SLURM_NTASKS-}}}}
[ -n "$rank" ] && [ -n "$ranks" ] || { echo "eval.sh: start it by mpirun, srun or as a Slurm array" >&2; exit 2; }
out=$1
shift
mkdir -p "$out"
part=$out/shard-$(printf %05d "$rank").json
[ -s "$part" ] && exit 0
exec "${NIBBLE:-nibble}" eval -q "$@" --shard "$rank/$ranks" --state "$out/state-$rank" --json "$part"
