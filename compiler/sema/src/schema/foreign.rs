//! Words and values of other tools, and what says the same here.
//!
//! Hugging Face's Trainer, nanoGPT, llm.c, Lightning, DeepSpeed, axolotl, torchtune, LLaMA-Factory
//! and Keras. A row carries its value over where that is certain, and only advises elsewhere.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::nearest;
use Means::{Advice, Argument, Bool, Off, Percent, Put, Scaled, Share, Under, Values, Without};

/// What a word of another tool stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// This directive, with the same value.
    Under(&'static str),
    /// This line with the value in the place of `{}`.
    Put(&'static str),
    /// The same, and 0 turns it off: this directive with `none`.
    Off(&'static str),
    /// This directive; a ratio becomes a percentage.
    Percent(&'static str),
    /// This line with the ratio in percent for `{}`, and what is left of it for `{rest}`.
    Share(&'static str),
    /// Whole numbers go into the first line, fractions into the second.
    Scaled(&'static str, &'static str),
    /// This directive, its values by other names.
    Values(&'static str),
    /// This line for true, and for false: where there is none, nothing.
    Bool(&'static str, Option<&'static str>),
    /// Nothing: what it asks for holds anyway, as the sentence says.
    Without(&'static str),
    /// This argument of the model.
    Argument(&'static str),
    /// What to write, and where; `{}` is the value.
    Advice(&'static str),
}

impl Means {
    /// The directive that is meant, where one is.
    pub fn directive(self) -> Option<&'static str> {
        let line = match self {
            Under(line) | Put(line) | Off(line) | Percent(line) | Values(line) | Share(line) => {
                line
            }
            Scaled(line, _) | Bool(line, _) => line,
            Without(_) | Argument(_) | Advice(_) => return None,
        };
        line.split(' ').next()
    }
}

/// The table by the word.
static MEANINGS: LazyLock<BTreeMap<&str, Means>> = LazyLock::new(|| {
    TABLE.iter().flat_map(|&(theirs, ours)| theirs.split(' ').map(move |w| (w, ours))).collect()
});

/// The meaning of a word; hyphens and capitals do not count.
pub fn foreign(word: &str) -> Option<Means> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    let word = word.trim_start_matches('_');
    MEANINGS.get(word).copied()
}

/// The word of another tool that is nearly this one.
pub fn near_foreign(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    nearest(&word, TABLE.iter().flat_map(|(theirs, _)| theirs.split(' ')))
}

/// What a value of another tool is called for a directive here.
pub fn foreign_value(directive: &str, value: &str) -> Option<&'static str> {
    let value = value.to_ascii_lowercase();
    let value = value.rsplit('.').next().unwrap_or_default().replace('-', "_");
    let (_, values) = VALUES.iter().find(|(name, _)| *name == directive)?;
    let found = values.iter().find(|(theirs, _)| theirs.split(' ').any(|w| w == value));
    found.map(|&(_, ours)| ours)
}

/// Whether values of a directive are in this unit when none is written.
pub fn is_in(directive: &str, unit: &str) -> bool {
    match directive {
        "context" => unit == "tokens",
        "batch" | "micro_batch" => ["sequences", "samples", "rows"].contains(&unit),
        "accumulate" => unit == "steps",
        _ => false,
    }
}

/// The words that say how many micro-batches make a step.
pub fn accumulates(word: &str) -> bool {
    word == "accumulate" || foreign(word) == Some(Under("accumulate"))
}

/// Words that mean the same are one row.
const TABLE: &[(&str, Means)] = &[
    (
        "gradient_accumulation_steps grad_accumulation_steps grad_accum grad_accum_steps \
         accumulation_steps gradient_accumulation accumulate_grad_batches iter_size",
        Under("accumulate"),
    ),
    (
        "max_grad_norm grad_clip gradient_clip_val gradient_clipping clip_grad clip_grad_norm \
         clip_norm max_norm grad_norm clipnorm global_clipnorm grad_clip_norm",
        Off("clip"),
    ),
    ("clipvalue clip_value grad_clip_value", Put("clip value {}")),
    ("learning_rate base_lr init_lr peak_lr max_lr max_learning_rate", Under("lr")),
    ("batch_size train_batch_size global_batch_size batchsize bs", Under("batch")),
    ("total_batch_size", Put("batch {} tokens")),
    (
        "micro_batch_size per_device_train_batch_size per_gpu_train_batch_size device_batch_size \
         train_micro_batch_size_per_gpu micro micro_bs local_batch_size",
        Under("micro_batch"),
    ),
    (
        "per_device_eval_batch_size eval_batch_size val_batch_size",
        Without("evaluations use the micro-batches of training"),
    ),
    (
        "num_workers dataloader_num_workers preprocessing_num_workers dataset_num_proc workers \
         num_proc prefetch_factor dataloader_prefetch_factor pin_memory dataloader_pin_memory \
         persistent_workers dataloader_persistent_workers",
        Without("data is read ahead without a setting"),
    ),
    (
        "compile torch_compile use_compile jit_mode_eval cudnn_benchmark benchmark",
        Without("every program is compiled"),
    ),
    (
        "flash_attention flash_attn use_flash_attention use_flash_attn xformers_attention \
         sdp_attention",
        Without("attention never stores its scores; W0907 says where it has to"),
    ),
    ("do_train do_eval", Without("`llmc train` trains, and evaluates as `eval` says")),
    ("world_size nproc_per_node num_nodes num_gpus n_gpus", Advice("a run has one device so far")),
    ("fsdp zero_stage zero_optimization zero ddp", Advice("a run has one device so far")),
    ("devices gpus", Advice("a run has one device so far; `device cuda` names the kind")),
    ("epochs num_epochs num_train_epochs max_epochs n_epochs epoch", Put("steps {} epochs")),
    (
        "max_steps max_iters iterations num_iterations train_iters max_train_steps num_steps \
         total_steps num_train_steps n_steps iters step",
        Under("steps"),
    ),
    ("max_tokens total_tokens train_tokens", Put("steps {} tokens")),
    ("max_time max_train_time", Advice("write `stop after {}min`, in minutes")),
    (
        "warmup_steps warmup_iters num_warmup_steps lr_warmup_steps warmup_num_steps \
         lr_warmup_iters warmup_iterations n_warmup_steps",
        Under("warmup"),
    ),
    ("warmup_ratio warmup_fraction lr_warmup_fraction warmup_proportion", Percent("warmup")),
    ("warmup_epochs", Put("warmup {} epochs")),
    (
        "lr_scheduler_type lr_scheduler scheduler scheduler_type lr_schedule lr_decay_style \
         lr_decay_type decay_style",
        Values("schedule"),
    ),
    ("min_lr learning_rate_min lr_min eta_min", Advice("write `schedule cosine(min_lr: {})`")),
    ("min_lr_ratio min_lr_rate cosine_min_lr_ratio", Put("schedule cosine(to: {})")),
    (
        "lr_decay_iters lr_decay_steps decay_steps t_max",
        Without("a schedule ends where the run does"),
    ),
    ("decay_lr lr_decay", Bool("schedule cosine", Some("schedule constant"))),
    (
        "block_size seq_len seq_length sequence_length sequence_len max_seq_len max_seq_length \
         max_length cutoff_len context_length context_size ctx_len n_ctx max_sequence_length \
         n_positions max_position_embeddings model_max_length context_window",
        Under("context"),
    ),
    ("optim optim_name optimizer_name optimizer_type", Values("optimizer")),
    ("beta1 adam_beta1 b1", Advice("it is an argument of the rule: `optimizer adamw(beta1: {})`")),
    ("beta2 adam_beta2 b2", Advice("it is an argument of the rule: `optimizer adamw(beta2: {})`")),
    (
        "betas adam_betas",
        Advice("they are arguments of the rule: `optimizer adamw(beta1: 0.9, beta2: 0.95)`"),
    ),
    (
        "epsilon eps adam_epsilon adam_eps",
        Advice("it is an argument of the rule: `optimizer adamw(eps: {})`"),
    ),
    // Which rule it should be an argument of is not certain: the default has none.
    ("momentum", Advice("it is an argument of the rule: `optimizer sgd(momentum: {})`")),
    ("sample_interval sample_every sample_steps", Advice("write `sample \"ROMEO:\" every {}`")),
    ("wd decay weight_decay_rate", Under("weight_decay")),
    ("l2 l2_reg", Advice("the `l2` of sgd and adam is an argument: `optimizer adam(l2: {})`")),
    ("label_smoothing_factor label_smoothing_eps", Under("label_smoothing")),
    ("dtype torch_dtype mixed_precision amp_dtype param_dtype compute_dtype", Values("precision")),
    ("fp16 fp16_enabled half use_fp16", Bool("precision fp16", None)),
    ("bf16 bfloat16 use_bf16", Bool("precision bf16", None)),
    ("amp use_amp autocast", Bool("precision fp16", None)),
    ("fp32", Bool("precision fp32", None)),
    ("tf32", Advice("products in fp32 are exact; `precision bf16` is the fast way")),
    (
        "initial_scale_power",
        Advice("it is a power of two: `loss_scale dynamic from 65536` is that of 16"),
    ),
    ("init_scale initial_scale initial_loss_scale", Put("loss_scale dynamic from {}")),
    ("loss_scale_window growth_interval scale_window", Put("loss_scale dynamic growth {}")),
    ("min_loss_scale", Put("loss_scale dynamic min {}")),
    (
        "gradient_checkpointing activation_checkpointing use_activation_checkpointing \
         checkpoint_activations enable_activation_checkpointing use_gradient_checkpointing \
         recompute_granularity grad_checkpointing",
        Bool("recompute all", Some("recompute none")),
    ),
    ("random_seed manual_seed rng_seed data_seed seed_everything", Under("seed")),
    (
        "eval_interval eval_steps eval_freq eval_every eval_frequency test_freq",
        Put("eval every {}"),
    ),
    ("val_check_interval", Scaled("eval every {}", "eval every {} epochs")),
    ("check_val_every_n_epoch", Put("eval every {} epochs")),
    (
        "eval_iters val_max_steps limit_val_batches max_eval_steps eval_num_batches \
         val_max_batches",
        Advice("write `batches {}` on the line `eval`"),
    ),
    (
        "save_steps save_every save_interval checkpoint_interval checkpoint_every save_freq \
         checkpoint_freq every_n_train_steps ckpt_interval",
        Put("checkpoint every {}"),
    ),
    (
        "save_total_limit keep_last_n save_top_k keep_checkpoints max_to_keep",
        Advice("write `keep {}` on the line `checkpoint`"),
    ),
    (
        "load_best_model_at_end metric_for_best_model save_best",
        Advice("write `best val.loss` on the line `checkpoint`"),
    ),
    ("out_dir output_dir default_root_dir save_dir ckpt_dir checkpoint_dir", Under("checkpoint")),
    (
        "evaluation_strategy eval_strategy save_strategy logging_strategy",
        Advice("the line with `every` says when: `eval every 500`, `checkpoint every 1 epoch`"),
    ),
    (
        "logging_steps log_interval log_every_n_steps log_every log_freq logging_first_step \
         logging_dir steps_per_print",
        Without("every step is in `metrics.jsonl` of the run's folder"),
    ),
    (
        "report_to wandb_log wandb_project wandb_run_name wandb tensorboard run_name logger",
        Advice("`metrics.jsonl` in the run's folder has all numbers; remove the line"),
    ),
    ("disable_tqdm overwrite_output_dir progress_bar", Without("it changes nothing here")),
    (
        "resume_from_checkpoint resume_from init_from auto_resume_from_checkpoints",
        Advice("`llmc train` goes on with an unfinished run by itself; remove the line"),
    ),
    (
        "early_stopping_patience patience",
        Advice("write `early_stop val.loss patience ..` in steps; there {} counts evaluations"),
    ),
    ("ema_decay ema_rate model_ema_decay", Under("ema")),
    ("accelerator device_type", Values("device")),
    ("criterion loss_fn loss_function objective", Values("loss")),
    ("n_layer n_layers num_layers num_hidden_layers depth", Argument("layers")),
    ("n_head n_heads num_heads num_attention_heads", Argument("heads")),
    (
        "n_embd hidden_size d_model embed_dim embedding_size dim hidden_dim n_embed",
        Argument("width"),
    ),
    (
        "vocab_size padded_vocab_size",
        Advice("the model takes the vocabulary of the data; `gpt(vocab: {})` is larger"),
    ),
    (
        "attention_dropout attn_pdrop resid_pdrop embd_pdrop hidden_dropout_prob attn_dropout",
        Advice("`dropout {}` is for all of a model"),
    ),
    (
        "lora_r lora_rank lora_alpha lora_dropout lora_target_modules lora_target peft_type",
        Advice("`lora` is not built yet"),
    ),
    (
        "dataset dataset_name datasets train_file train_data data_path dataset_path train_path \
         data_dir input_bin train_dataset dataset_dir",
        Advice("it stands in a line of its own, outside the block: `data text({})`"),
    ),
    ("validation_file val_file eval_file val_dataset", Advice("the data block has `split`")),
    (
        "val_size val_set_size validation_split test_size val_split val_fraction eval_ratio",
        Share("split {rest} train, {} val"),
    ),
    ("sample_packing packing", Bool("pack documents", Some("pack none"))),
    ("tokenizer_name tokenizer_type tokenizer_path tokenizer_name_or_path", Values("tokenizer")),
    (
        "model_name model_name_or_path base_model pretrained_model_name_or_path",
        Advice("weights of other programs are not read yet; `model gpt(..)` starts anew"),
    ),
];

/// By directive: values of other tools and what they are called here.
const VALUES: &[(&str, &[(&str, &str)])] = &[
    (
        "precision",
        &[
            ("float16 half fp16_mixed 16_mixed 16 f16 16_true torch_float16", "fp16"),
            ("bfloat16 bf16_mixed bf16_true brain_float", "bf16"),
            ("float32 float f32 full single no 32 32_true", "fp32"),
        ],
    ),
    (
        "optimizer",
        &[
            (
                "adamw_torch adamw_torch_fused adamw_hf adamw_apex_fused adamw_anyprecision \
                 fusedadam fused_adam adamw_8bit adamw_bnb_8bit paged_adamw_8bit \
                 paged_adamw_32bit paged_adamw torch_adamw adamw_torch_8bit cpuadam \
                 deepspeedcpuadam adamwscale adam_w",
                "adamw",
            ),
            ("lion_8bit lion_32bit paged_lion_8bit paged_lion_32bit", "lion"),
            ("torch_adam onebitadam zerooneadam", "adam"),
            ("momentum nesterov torch_sgd", "sgd"),
            ("fusedlamb onebitlamb", "lamb"),
            ("adafactor_hf", "adafactor"),
        ],
    ),
    (
        "schedule",
        &[
            ("constant_with_warmup none warmuplr constantlr fixed", "constant"),
            ("linear_with_warmup warmupdecaylr linearlr polynomial polynomiallr", "linear"),
            (
                "cosine_with_warmup cosineannealinglr cosine_annealing warmupcosinelr \
                 cosine_with_min_lr cosinelr cosine_decay cosine_warmup",
                "cosine",
            ),
            ("warmup_stable_decay trapezoidal", "wsd"),
            ("inv_sqrt rsqrt noam inverse_square_root", "inverse_sqrt"),
            ("reduce_lr_on_plateau reducelronplateau", "plateau(patience: 1 * epoch)"),
        ],
    ),
    (
        "loss",
        &[(
            "crossentropyloss crossentropy ce nll nll_loss cross_entropy_loss \
             sparse_categorical_crossentropy categorical_crossentropy causal_lm next_token",
            "cross_entropy",
        )],
    ),
    ("device", &[("gpu nvidia", "cuda"), ("host", "cpu")]),
    (
        "tokenizer",
        &[
            ("char character char_level characters", "chars"),
            ("byte utf8 utf_8 byte_level raw", "bytes"),
        ],
    ),
    ("shuffle", &[("true", "full"), ("false", "none")]),
    ("pack", &[("true packed", "documents"), ("false", "none")]),
    ("numerics", &[("deterministic true", "exact"), ("nondeterministic false", "fast")]),
    ("resume", &[("true", "auto"), ("false", "never")]),
    ("recompute", &[("true full selective", "all"), ("false", "none")]),
    ("clip", &[("false", "none")]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{BLOCKS, Home};

    #[test]
    fn words_are_in_one_row_and_mean_a_directive() {
        let mut seen = std::collections::BTreeSet::new();
        for (words, means) in TABLE {
            for word in words.split(' ') {
                assert!(seen.insert(word), "`{word}` is in two rows");
                let is_ours = |home: Home| home.find(word).is_some();
                assert!(!is_ours(Home::Train) && !is_ours(Home::Data), "`{word}` is ours");
                assert!(BLOCKS.iter().all(|b| b.word != word), "`{word}` is a block");
            }
            let lines = match *means {
                Scaled(a, b) => vec![a, b],
                Bool(yes, no) => [yes].into_iter().chain(no).collect(),
                Under(_) | Put(_) | Off(_) | Percent(_) | Share(_) | Values(_) | Without(_)
                | Argument(_) | Advice(_) => means.directive().into_iter().collect(),
            };
            for line in lines {
                let first = line.split(' ').next().unwrap();
                let known = |home: Home| home.find(first).is_some();
                assert!(known(Home::Train) || known(Home::Data), "`{line}` is no line");
            }
        }
        assert!(seen.len() > 200, "{} words", seen.len());
    }

    #[test]
    fn hyphens_and_capitals_do_not_count() {
        assert_eq!(foreign("Max-Grad-Norm"), Some(Off("clip")));
        assert_eq!(foreign_value("optimizer", "torch.optim.AdamW_torch"), Some("adamw"));
        assert_eq!(foreign_value("precision", "bf16-mixed"), Some("bf16"));
        assert_eq!(foreign("clip"), None);
    }
}
