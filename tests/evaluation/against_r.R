# What R makes of the tables in predictions/: pROC, psych, stats. Rscript against_r.R FOLDER > r_figures.json
suppressPackageStartupMessages({library(pROC); library(psych); library(jsonlite)})
folder <- commandArgs(trailingOnly = TRUE)[1]
read <- function(name) read.csv(file.path(folder, name), check.names = FALSE)
b <- read("binary.csv"); y <- as.integer(b$outcome == "positive"); models <- c("network", "radiomics", "clinical-svm")
logit <- function(p) log(p / (1 - p))
control <- glm.control(epsilon = 1e-14, maxit = 100)
fit <- function(...) glm(..., family = binomial, control = control)
wilson <- function(x, n) as.numeric(prop.test(x, n, correct = FALSE)$conf.int)
wald <- function(model) {
  s <- summary(model)$coefficients[-1, , drop = FALSE]; z <- qnorm(0.975)
  lapply(split(seq_len(nrow(s)), rownames(s)), function(i) list(or = exp(s[i, 1]),
    lower = exp(s[i, 1] - z * s[i, 2]), upper = exp(s[i, 1] + z * s[i, 2]), p = s[i, 4]))
}
curves <- lapply(models, function(m) roc(y, b[[m]], levels = c(0, 1), direction = "<", quiet = TRUE))
names(curves) <- models
model_figures <- lapply(models, function(m) {
  p <- b[[m]]; called <- p >= 0.5; lp <- logit(p)
  tp <- sum(called & y == 1); fp <- sum(called & y == 0); fn <- sum(!called & y == 1); tn <- sum(!called & y == 0)
  level <- fit(y ~ offset(lp)); line <- fit(y ~ lp); net <- function(t) (sum(p >= t & y == 1) -
    sum(p >= t & y == 0) * t / (1 - t)) / length(y)
  list(auc = as.numeric(auc(curves[[m]])), variance = var(curves[[m]], method = "delong"),
    table = c(tp, fp, fn, tn), accuracy = wilson(tp + tn, length(y)), sensitivity = wilson(tp, tp + fn),
    specificity = wilson(tn, tn + fp), ppv = wilson(tp, tp + fp), npv = wilson(tn, tn + fn),
    f1 = 2 * tp / (2 * tp + fp + fn), youden = max(coords(curves[[m]], "best", best.method = "youden")$threshold),
    brier = mean((p - y)^2), intercept = as.numeric(coef(level)), slope = as.numeric(coef(line)[2]),
    slope_se = summary(line)$coefficients[2, 2], net_benefit = sapply(c(0.1, 0.3, 0.5), net))
})
names(model_figures) <- models
pairs <- combn(models, 2, simplify = FALSE)
compared <- lapply(pairs, function(pair) {
  test <- roc.test(curves[[pair[1]]], curves[[pair[2]]], method = "delong", paired = TRUE)
  right <- lapply(pair, function(m) factor((b[[m]] >= 0.5) == (y == 1), levels = c(FALSE, TRUE)))
  t <- table(right[[1]], right[[2]])
  list(z = as.numeric(test$statistic), p = test$p.value, discordant = c(t[2, 1], t[1, 2]),
    mcnemar = mcnemar.test(t, correct = TRUE)$p.value, exact = binom.test(t[2, 1], t[2, 1] + t[1, 2])$p.value)
})
names(compared) <- sapply(pairs, paste, collapse = " against ")
by <- function(name) split(b[[name]], b$outcome)
age <- by("age"); size <- by("clinical:size_mm"); density <- by("clinical:density")
cohort <- list(
  shapiro = sapply(list(age[[1]], age[[2]], size[[1]], density[[1]], density[[2]]), function(x) shapiro.test(x)$p.value),
  student = t.test(age[[1]], age[[2]], var.equal = TRUE)$p.value, welch = t.test(density[[1]], density[[2]])$p.value,
  wilcoxon = wilcox.test(size[[1]], size[[2]], exact = FALSE, correct = TRUE)$p.value,
  chisq = chisq.test(table(b[["clinical:grade"]], b$outcome), correct = FALSE)$p.value,
  fisher = fisher.test(table(b[["clinical:implant"]], b$outcome))$p.value,
  fisher_wide = fisher.test(matrix(c(3, 1, 2, 1, 3, 2), 3))$p.value)
grade <- b[["clinical:grade"]]; grade <- relevel(factor(grade), ref = names(sort(-table(grade)))[1])
age <- b$age; size <- b[["clinical:size_mm"]]; palpable <- b[["clinical:palpable"]]
odds <- list(age = wald(fit(y ~ age)), size = wald(fit(y ~ size)), grade = wald(fit(y ~ grade)),
  multivariate = wald(fit(y ~ age + size + grade + palpable)))
s <- read("several.csv"); classes <- c("zero", "low", "positive")
p <- as.matrix(s[paste0("network:", classes)]); truth <- match(s$outcome, classes); called <- max.col(p, ties.method = "first")
k <- cohen.kappa(cbind(truth, called))
ovr <- sapply(1:3, function(i) as.numeric(auc(roc(as.integer(truth == i), p[, i], levels = c(0, 1), direction = "<", quiet = TRUE))))
several <- list(auc = ovr, accuracy = mean(truth == called), kappa = k$kappa,
  brier = mean(rowSums((p - diag(3)[truth, ])^2)), confusion = unclass(table(factor(truth, 1:3), factor(called, 1:3))),
  anova = oneway.test(s$age ~ s$outcome, var.equal = TRUE)$p.value,
  welch_anova = oneway.test(s$age ~ s$outcome, var.equal = FALSE)$p.value,
  kruskal = kruskal.test(s$age, factor(s$outcome))$p.value)
f <- read("features.csv"); names_of <- setdiff(names(f), c("patient", "lesion", "reader"))
icc <- lapply(names_of, function(n) {
  wide <- matrix(f[[n]], ncol = 3, byrow = TRUE); r <- ICC(wide, lmer = FALSE)$results["Single_random_raters", ]
  c(r$ICC, r$`lower bound`, r$`upper bound`)
})
names(icc) <- names_of
means <- sapply(names_of, function(n) rowMeans(matrix(f[[n]], ncol = 3, byrow = TRUE)))
tree <- hclust(as.dist(1 - abs(cor(means, method = "spearman"))), method = "average")
cat(toJSON(list(models = model_figures, compared = compared,
  holm = p.adjust(sapply(compared, function(one) one$p), "holm"), cohort = cohort, odds = odds,
  several = several, icc = icc, clusters = as.list(cutree(tree, h = 0.2))), auto_unbox = TRUE, digits = 12, pretty = TRUE), "\n")
